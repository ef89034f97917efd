package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// table has the results of all rounds.
type table struct {
	rows []row
}

type row struct {
	name        string
	connections int
	results     []result
}

func newTable() *table { return &table{} }

func (t *table) add(name string, connections int, r result) {
	i := slices.IndexFunc(t.rows, func(x row) bool { return x.name == name && x.connections == connections })
	if i < 0 {
		i = len(t.rows)
		t.rows = append(t.rows, row{name: name, connections: connections})
	}
	t.rows[i].results = append(t.rows[i].results, r)
}

func (t *table) find(name string, connections int) (row, bool) {
	for _, r := range t.rows {
		if r.name == name && r.connections == connections {
			return r, true
		}
	}
	return row{}, false
}

// median is that of a figure over the rounds.
func (r row) median(of func(result) float64) float64 {
	all := make([]float64, len(r.results))
	for i, one := range r.results {
		all[i] = of(one)
	}
	return median(all)
}

func median(all []float64) float64 {
	slices.Sort(all)
	if len(all)%2 == 0 {
		return (all[len(all)/2-1] + all[len(all)/2]) / 2
	}
	return all[len(all)/2]
}

// ratio is the median of the ratios within each round.
func (t *table) ratio(name, to string, connections int) (float64, bool) {
	a, there := t.find(name, connections)
	b, too := t.find(to, connections)
	if !there || !too {
		return 0, false
	}
	var all []float64
	for i := range min(len(a.results), len(b.results)) {
		all = append(all, a.results[i].perSecond()/b.results[i].perSecond())
	}
	return median(all), true
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (t *table) print(w io.Writer) {
	fmt.Fprintln(w, "| | connections | accepted a second | all answered, s | reply p50 / p99 / max, ms | last score after the last answer, s | peak RSS, MB | CPU a response, µs: until answered / until scored / load program | 503 / cut off / replayed | load |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range t.rows {
		reply := func(p int) float64 {
			return r.median(func(x result) float64 { return ms(percentile(x.replies, p)) })
		}
		perResponse := func(of func(result) time.Duration) float64 {
			return r.median(func(x result) float64 { return float64(of(x).Microseconds()) / float64(len(x.replies)) })
		}
		count := func(of func(result) int) float64 { return r.median(func(x result) float64 { return float64(of(x)) }) }
		fmt.Fprintf(w, "| %s | %d | %.0f | %.2f | %.1f / %.1f / %.1f | %.2f | %.0f | %.0f / %.0f / %.0f | %.0f / %.0f / %.0f | %s |\n", r.name, r.connections,
			r.median(result.perSecond), r.median(func(x result) float64 { return x.took.Seconds() }), reply(50), reply(99), reply(100),
			r.median(func(x result) float64 { return x.untilScore.Seconds() }), r.median(func(x result) float64 { return float64(x.peak) / 1e6 }),
			perResponse(func(x result) time.Duration { return x.acceptCPU }), perResponse(func(x result) time.Duration { return x.cpu }), perResponse(func(x result) time.Duration { return x.loadCPU }),
			count(func(x result) int { return x.refused }), count(func(x result) int { return x.cut }), count(func(x result) int { return x.replayed }),
			r.results[len(r.results)-1].load)
	}
	fmt.Fprintln(w)
	for _, r := range t.rows {
		if r.name != "casepress" {
			continue
		}
		for _, peer := range []string{"casepress, before", "casepress, forgetful", "in memory", "PostgreSQL"} {
			if ratio, ok := t.ratio(r.name, peer, r.connections); ok {
				fmt.Fprintf(w, "%s beside %s, %d connections: %.2f times as many a second.\n", r.name, peer, r.connections, ratio)
			}
		}
	}
	for _, r := range t.rows {
		if down := r.median(func(x result) float64 { return x.down.Seconds() }); down > 0 {
			fmt.Fprintf(w, "%s, %d connections: answers again %.2f s after SIGKILL.\n", r.name, r.connections, down)
		}
	}
}

// aims returns those that were missed.
func (t *table) aims() (missed []string) {
	miss := func(format string, args ...any) { missed = append(missed, fmt.Sprintf(format, args...)) }
	for _, r := range t.rows {
		if r.name != "casepress" && r.name != "casepress, killed" {
			continue
		}
		if peak := r.median(func(x result) float64 { return float64(x.peak) / 1e6 }); peak >= 256 {
			miss("%s, %d connections: a peak of %.0f MB; the aim is below 256", r.name, r.connections, peak)
		}
		if r.name != "casepress" {
			continue
		}
		if scored := r.median(func(x result) float64 { return x.untilScore.Seconds() }); scored > 2 {
			miss("%d connections: the last score came %.2f s after the last answer; the aim is 2", r.connections, scored)
		}
		if r.connections != 256 {
			continue
		}
		if rate := r.median(result.perSecond); rate < 10_000 {
			miss("256 connections: %.0f a second; the aim is 10,000", rate)
		}
		for peer, aim := range map[string]float64{"in memory": 0.8, "PostgreSQL": 3} {
			if ratio, ok := t.ratio(r.name, peer, r.connections); ok && ratio < aim {
				miss("256 connections: %.2f of %s; the aim is %g", ratio, peer, aim)
			}
		}
	}
	return missed
}
