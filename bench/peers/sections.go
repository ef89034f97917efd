package main

import (
	"context"
	"fmt"
)

// Rows that ratios name.
const (
	rowFloor   = "raw floor: zeroed file, fdatasync"
	rowLog     = "casepress, the commit log alone"
	rowPress   = "casepress"
	rowSync    = "JetStream, sync always"
	rowDefault = "JetStream, default (no fsync before the answer)"
	rowRedis   = "Redis streams, appendfsync always (own process, unix socket)"
)

func sections(set settings) []*section {
	return []*section{publishing(set), consuming(set), loopback(set), latency(set)}
}

// publishing: an answer means stable storage, but for JetStream's default.
func publishing(set settings) *section {
	s := &section{
		title: "Publish in process", unit: set.unit() + ", by producers", format: set.format(),
		ratios: []ratio{{rowLog, rowFloor}, {rowPress, rowFloor}, {rowPress, rowSync}, {rowPress, rowDefault}, {rowPress, rowRedis}},
	}
	for column, n := range []int{1, 16, 128, 1024} {
		s.columns = append(s.columns, fmt.Sprint(n))
		add := func(row string, open opener) {
			s.cells = append(s.cells, cell{row: row, column: column, run: func(ctx context.Context, dir string) ([]float64, error) {
				return rate(set, n, func() (work, error) { return parallel(n, dir, open) })
			}})
		}
		add(rowFloor, openFloor)
		add(rowLog, openLog)
		add(rowPress, openPress)
		add(rowSync, openJetStream(true, inProcess))
		add(rowDefault, openJetStream(false, inProcess))
		if noRedis() == "" {
			add(rowRedis, openRedis(n, "unix"))
		}
	}
	return s
}

// consuming: a backlog is handled by 64 consumers.
func consuming(set settings) *section {
	const plain, double = "JetStream, plain acks", "JetStream, double acks"
	const overGRPC, overTCP = "casepress over gRPC, client.Consumer", "JetStream over TCP, plain acks"
	s := &section{
		title: "Consume and acknowledge a backlog, 64 consumers", unit: "messages/s", format: perSecond, columns: []string{""},
		ratios: []ratio{{rowPress, plain}, {rowPress, double}, {overGRPC, overTCP}},
	}
	add := func(row string, run func(ctx context.Context, dir string) (float64, error)) {
		s.cells = append(s.cells, cell{row: row, run: func(ctx context.Context, dir string) ([]float64, error) {
			v, err := run(ctx, dir)
			return []float64{v}, err
		}})
	}
	n := set.consume
	add(rowPress, func(ctx context.Context, dir string) (float64, error) { return consumePress(ctx, dir, n, 16) })
	add("casepress, one message a call", func(ctx context.Context, dir string) (float64, error) { return consumePress(ctx, dir, n, 1) })
	add(plain, func(ctx context.Context, dir string) (float64, error) {
		return consumeJetStream(ctx, dir, n/4, inProcess, false)
	})
	add(double, func(ctx context.Context, dir string) (float64, error) {
		return consumeJetStream(ctx, dir, n/8, inProcess, true)
	})
	add(overGRPC, func(ctx context.Context, dir string) (float64, error) { return consumeGRPC(ctx, dir, n/4) })
	add(overTCP, func(ctx context.Context, dir string) (float64, error) {
		return consumeJetStream(ctx, dir, n/4, tcp, false)
	})
	return s
}

// loopback: clients on the same cores, one connection each but for Redis.
func loopback(set settings) *section {
	const stream = "casepress SendStream, client.Stream"
	const asyncSync, asyncDefault = "JetStream sync always, PublishAsync", "JetStream default, PublishAsync"
	s := &section{
		title: "Publish over loopback", unit: set.unit(), format: set.format(),
		columns: []string{"128 callers, one message a call", "stream, 128 in flight", "stream, 1,024 in flight"},
		ratios:  []ratio{{rowPress + " Send", rowSync}, {rowPress + " Send", rowDefault}, {stream, asyncSync}, {stream, asyncDefault}},
	}
	add := func(row string, column, inFlight int, open func(dir string) (work, error)) {
		s.cells = append(s.cells, cell{row: row, column: column, run: func(ctx context.Context, dir string) ([]float64, error) {
			return rate(set, inFlight, func() (work, error) { return open(dir) })
		}})
	}
	calls := func(open opener) func(dir string) (work, error) {
		return func(dir string) (work, error) { return parallel(128, dir, open) }
	}
	add(rowPress+" Send", 0, 128, calls(openSend))
	add("casepress Send, client.Producer", 0, 128, calls(openProducer))
	add(rowSync, 0, 128, calls(openJetStream(true, tcp)))
	add(rowDefault, 0, 128, calls(openJetStream(false, tcp)))
	if noRedis() == "" {
		add("Redis streams, appendfsync always, 128 connections", 0, 128, calls(openRedis(128, "tcp")))
	}
	for i, inFlight := range []int{128, 1024} {
		add(stream, 1+i, inFlight, func(dir string) (work, error) { return streamClient(dir, inFlight) })
		add("casepress SendStream, generated client", 1+i, inFlight, func(dir string) (work, error) { return streamRaw(dir, inFlight) })
		add(asyncSync, 1+i, inFlight, func(dir string) (work, error) { return streamJetStream(dir, inFlight, true) })
		add(asyncDefault, 1+i, inFlight, func(dir string) (work, error) { return streamJetStream(dir, inFlight, false) })
	}
	return s
}

// latency: one message at a time, with a pause, from before it is sent.
func latency(set settings) *section {
	const fsync, grpc, overTCP = "one write and fdatasync", "casepress over gRPC", "JetStream over TCP, sync always"
	s := &section{
		title: "End to end at light load", unit: "ms, p50", format: milliseconds,
		columns: []string{"sent", "handled", "sent, handled and acked", "ack durable too"},
		ratios:  []ratio{{rowPress, fsync}, {grpc, fsync}, {grpc, overTCP}, {rowPress, rowSync}, {rowPress, rowDefault}, {rowPress, rowRedis}},
	}
	add := func(row string, open pinger) {
		s.cells = append(s.cells, cell{row: row, run: func(ctx context.Context, dir string) ([]float64, error) {
			return pings(ctx, set, dir, open)
		}})
	}
	add(fsync, pingDisk)
	add(rowPress, pingPress)
	add(grpc, pingGRPC)
	add(rowSync, pingJetStream(true, inProcess))
	add(overTCP, pingJetStream(true, tcp))
	add(rowDefault, pingJetStream(false, inProcess))
	if noRedis() == "" {
		add(rowRedis, pingRedis)
	}
	return s
}
