package embedded

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"casepress/broker"
	"casepress/commitlog"
	"casepress/disk"
	"casepress/tasks"
)

// LogDamageError says what to do about damage in the log.
type LogDamageError struct {
	Cure string
	Err  error // what is damaged, with its file
}

func (e *LogDamageError) Error() string { return fmt.Sprintf("%v. %s", e.Err, e.Cure) }

// Unwrap returns what is damaged.
func (e *LogDamageError) Unwrap() error { return e.Err }

// ExplainDamage adds to an error of the broker what to do, if it is about damaged files: they may be a topic's
// messages, which rows and work are made from, or only how far its groups have come. Any other error it returns
// as it is.
func ExplainDamage(err error) error {
	if _, done := errors.AsType[*LogDamageError](err); done {
		return err
	}
	if c, ok := errors.AsType[*commitlog.CorruptionError](err); ok {
		if errors.Is(c.Err, disk.ErrNotFile) && filepath.Ext(c.File) == ".idx" {
			return &LogDamageError{"Stop the service, move it away and start: it is made again from the segment beside it", err}
		}
		folder := filepath.Dir(c.File)
		topic := filepath.Base(filepath.Dir(folder))
		if filepath.Base(folder) == "groups" {
			return &LogDamageError{fmt.Sprintf("Stop the service and restore the whole of topics/%s from a backup that is as new as the rest; or %s", topic, cureGroups(topic)), err}
		}
		return &LogDamageError{fmt.Sprintf("Stop the service and restore the whole of topics/%s from a backup that is as new as the rest%s", topic, cureTopic(topic)), err}
	}
	if d, ok := errors.AsType[*broker.DamageError](err); ok {
		if d.Group == "" {
			return &LogDamageError{fmt.Sprintf("Stop the service and restore the whole of topics/%s from a backup that is as new as the rest", d.Topic) + cureTopic(d.Topic), err}
		}
		return &LogDamageError{fmt.Sprintf("One of topics/%[1]s/log and topics/%[1]s/groups is older than the other, or parts of it are gone: restore the whole of topics/%[1]s from one backup that is as new as the rest. If only topics/%[1]s/groups is not as it was, %[2]s",
			d.Topic, cureGroups(d.Topic)), err}
	}
	return err
}

// cureGroups loses how far groups have come: every group begins anew, and what is finished is known by the rows.
func cureGroups(topic string) string {
	return fmt.Sprintf("move topics/%s/groups away and start: every group receives all messages of the topic again; finished work is not repeated", topic)
}

// cureTopic is what helps without a backup: only topics that can be written again from the rows, or that rows are not
// made of, can be done without.
func cureTopic(topic string) string {
	switch {
	case topic == tasks.TopicCompletions || topic == tasks.TopicUpdates:
		return fmt.Sprintf("; or move topics/%[1]s away, and leave casepress.db where it is, and start: what was in it is written again from the rows", topic)
	case slices.Contains(tasks.Topics(), topic):
		return ""
	}
	return fmt.Sprintf("; or move topics/%[1]s away and start: the messages in it are lost to those who have not received them, case reports are not touched", topic)
}
