package service

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"casepress/dispatcher"
)

// CaseReportWorkers is how many case reports are in work at once by default. It is not how many pictures are decoded
// at once, which picture.Budget bounds by memory and processors: most of these reports wait, for the one turn that
// HEIC photos have, and must not keep the others out. See decision 18.
const CaseReportWorkers = 32

// Lanes returns the lanes with their defaults. A kind names its lane, and work on one lane never waits for work on
// another.
//
// Case reports are few and slow, so nothing of them is claimed before a worker is free. Their backlog may be a day
// old, because the log on disk is the reservoir for a burst.
//
// Responses to questionnaires are many and quick: they are taken in batches, each completed in one commit, and one
// batch is claimed while the one before is scored. Adverse events wait for nothing: no buffer, no other lane, no
// backlog and no floor of disk space. A worker of theirs does little but wait until a step is on stable storage, so there are many.
func Lanes() []dispatcher.Lane {
	return []dispatcher.Lane{
		{Name: "case-reports", Workers: CaseReportWorkers, MaxBacklogAge: 24 * time.Hour},
		{Name: "questionnaires", Workers: 1, Buffer: 1, Batch: 512, MaxBacklogAge: 24 * time.Hour},
		{Name: "urgent", Workers: 32, Reserved: true},
	}
}

// SetWorkers returns the lanes with other numbers of workers. It refuses a lane that is not there.
func SetWorkers(lanes []dispatcher.Lane, workers map[string]int) ([]dispatcher.Lane, error) {
	lanes = slices.Clone(lanes)
	for name, n := range workers {
		i := slices.IndexFunc(lanes, func(l dispatcher.Lane) bool { return l.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no lane %q; the lanes are %s", name, strings.Join(names(lanes), ", "))
		}
		if n < 1 || n > dispatcher.MaxWorkers {
			return nil, &dispatcher.WorkersError{Lane: name, Workers: n}
		}
		lanes[i].Workers = n
	}
	return lanes, nil
}

func names(lanes []dispatcher.Lane) []string {
	byName := map[string]bool{}
	for _, l := range lanes {
		byName[l.Name] = true
	}
	return slices.Sorted(maps.Keys(byName))
}

// namesOf are the names of the lanes that are so.
func namesOf(lanes []dispatcher.Lane, are func(dispatcher.Lane) bool) []string {
	var all []string
	for _, l := range lanes {
		if are(l) {
			all = append(all, l.Name)
		}
	}
	return all
}
