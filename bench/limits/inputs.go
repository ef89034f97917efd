package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"casepress/broker/brokerpb"
)

// input is one row of the table.
type input struct {
	name  string
	args  []string      // beside the defaults
	every time.Duration // between two small reports
	small func() form   // nil: smallReport
	// send does its worst for about so long and returns once all its reports are finished.
	send         func(ctx context.Context, s *process, span time.Duration) ([]outcome, error)
	firstAttempt bool // all reports must be completed at their first attempt
	// crowd says that so many reports come at once that a small one after them waits as in any queue, and that some may
	// be refused: only memory and final states are aims.
	crowd bool
}

const often = 200 * time.Millisecond

// inputs are all that can be measured with these settings.
func inputs(set settings) ([]input, error) {
	all := []input{{name: "nothing", every: often, send: func(ctx context.Context, _ *process, span time.Duration) ([]outcome, error) {
		sleep(ctx, span)
		return nil, nil
	}}}
	made, err := hostilePictures()
	if err != nil {
		return nil, err
	}
	given, err := picturesIn(set.cases)
	if err != nil {
		return nil, err
	}
	for _, p := range append(made, given...) {
		all = append(all, input{name: p.name, every: often, send: sendPicture(p.bytes)})
	}
	all = append(all,
		input{name: "60 uploads with a part header of 10 MB", every: often, send: sendPartHeaders},
		input{name: "1,000 gRPC streams of 64 KiB messages that nobody reads, on 10 connections, one group", every: often, send: sendUnreadStreams(10, 64<<10, false)},
		input{name: "1,000 gRPC streams of 64 KiB messages that nobody reads, on 10 connections, 1,000 groups", every: often, send: sendUnreadStreams(10, 64<<10, true)},
		input{name: "1,000 gRPC streams of 1 MiB messages that nobody reads, on 50 connections, 1,000 groups", every: often, send: sendUnreadStreams(50, 1<<20, true)},
		input{name: "1,000 gRPC streams of 100 B messages that nobody reads, on 10 connections, 1,000 groups", every: often, send: sendUnreadStreams(10, 100, true)},
		input{name: "requests for another host", every: often, send: sendOtherHost},
	)
	photos, err := picturesIn(set.photos)
	if err != nil {
		return nil, err
	}
	var heic []byte
	for _, p := range photos {
		if strings.HasSuffix(p.name, ".heic") {
			heic = p.bytes
		}
	}
	all = append(all, input{
		name: "every photo of the folder and the PNG of 6,000², three times", every: often, firstAttempt: true, crowd: true,
		send: func(ctx context.Context, s *process, _ time.Duration) ([]outcome, error) {
			var forms []form
			for _, p := range append(photos, named{"", interlacedPNG(6000, 8)}) {
				for _, v := range variants(p.bytes, 3) {
					forms = append(forms, newForm(v))
				}
			}
			return s.all(ctx, forms...)
		},
	})
	for _, row := range []struct {
		name    string
		args    []string
		reports int
		photos  int
		every   time.Duration
		small   func() form
	}{
		{"two reports of 25 HEIC photos", nil, 2, 25, often, nil},
		{"the same, --workers=8", []string{"--workers=8"}, 2, 25, often, nil},
		{"the same, beside it a report of eight JPEGs", nil, 2, 25, 3 * time.Second, eightJPEGs},
		{"eight reports of three HEIC photos", nil, 8, 3, often, nil},
		{"24 reports of one HEIC photo", nil, 24, 1, often, nil},
	} {
		all = append(all, input{
			name: row.name, args: row.args, every: row.every, small: row.small, firstAttempt: true,
			send: func(ctx context.Context, s *process, _ time.Duration) ([]outcome, error) {
				if heic == nil {
					return nil, errors.New("there is no HEIC photo: name a folder with -photos")
				}
				forms := make([]form, row.reports)
				for i := range forms {
					forms[i] = newForm(variants(heic, row.photos)...)
				}
				return s.all(ctx, forms...)
			},
		})
	}
	return all, nil
}

// sendPicture sends four reports at a time: three with the picture once, with other bytes behind it so that it is worked
// on each time, and one that has it as often as a report may. Those that have it once are sent again as long as span.
func sendPicture(p []byte) func(context.Context, *process, time.Duration) ([]outcome, error) {
	return func(ctx context.Context, s *process, span time.Duration) (all []outcome, err error) {
		many := newForm(slices.Repeat([][]byte{p}, 50)...)
		for end := time.Now().Add(span); time.Now().Before(end) && ctx.Err() == nil; {
			forms := []form{many}
			for _, v := range variants(p, 3) {
				forms = append(forms, newForm(v))
			}
			done, err := s.all(ctx, forms...)
			all = append(all, done...)
			if err != nil {
				return all, err
			}
		}
		return all, nil
	}
}

// sendPartHeaders holds 60 uploads open whose first part has an endless header.
func sendPartHeaders(ctx context.Context, s *process, span time.Duration) ([]outcome, error) {
	header := strings.Repeat("a", 9_900_000)
	for range 60 {
		c, err := net.Dial("tcp", s.http)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		// Casepress may well hang up: that is an answer too.
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = fmt.Fprintf(c, "POST /upload-case-report HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 20000000\r\n\r\n"+
			"--x\r\nContent-Disposition: form-data; name=\"patientId\"\r\nX: %s", header)
	}
	sleep(ctx, span)
	return nil, nil
}

// sendUnreadStreams returns an input that fills a topic with 49 MB of messages of size bytes (14 MB of small ones) and opens 1,000 subscriptions on
// so many connections that read nothing, each as a group of its own or all as one.
func sendUnreadStreams(connections, size int, ownGroups bool) func(context.Context, *process, time.Duration) ([]outcome, error) {
	return func(ctx context.Context, s *process, span time.Duration) (_ []outcome, err error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var clients []brokerpb.BrokerClient
		for range connections {
			conn, err := grpc.NewClient(s.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return nil, err
			}
			defer func() { err = errors.Join(err, conn.Close()) }()
			clients = append(clients, brokerpb.NewBrokerClient(conn))
		}
		const together = 3_500_000 // bytes of a batch
		for range 14 {
			var batch brokerpb.SendBatchRequest
			for range min(together/size, brokerpb.MaxMessages) {
				batch.Msgs = append(batch.Msgs, &brokerpb.Message{Topic: "fill", Payload: make([]byte, size)})
			}
			if _, err := clients[0].SendBatch(ctx, &batch); err != nil {
				return nil, err
			}
		}
		for i := range 1000 {
			group := "s"
			if ownGroups {
				group = fmt.Sprint("s", i)
			}
			// An error comes with the first message that is read, and none is.
			_, err := clients[i%connections].Subscribe(ctx, &brokerpb.SubscribeRequest{
				Topic: "fill", ConsumerGroup: group, AckMode: brokerpb.AckMode_ACK_MODE_EXPLICIT, Window: 65536, Together: 64,
			})
			if err != nil {
				return nil, err
			}
		}
		sleep(ctx, span)
		return nil, nil
	}
}

// sendOtherHost asks for another name than casepress has, as a page does whose name was pointed at this machine.
func sendOtherHost(ctx context.Context, s *process, span time.Duration) ([]outcome, error) {
	sent := smallReport()
	for end := time.Now().Add(span); time.Now().Before(end) && ctx.Err() == nil; sleep(ctx, often) {
		for _, r := range []struct{ method, url string }{
			{http.MethodPost, "http://" + s.http + "/upload-case-report"}, {http.MethodGet, "http://" + s.http + "/case-reports"},
			{http.MethodGet, "http://" + s.admin + "/debug/pprof/heap"},
		} {
			request, err := http.NewRequestWithContext(ctx, r.method, r.url, strings.NewReader(string(sent.body)))
			if err != nil {
				return nil, err
			}
			request.Host = "evil.example"
			request.Header.Set("Content-Type", sent.contentType)
			if code, body, err := do(request); err != nil || code != http.StatusMisdirectedRequest {
				return nil, errors.Join(err, fmt.Errorf("%s %s for another host: %d: %.100s", r.method, request.URL.Path, code, body))
			}
		}
	}
	return nil, nil
}

// named is a picture and what it is called in the table.
type named struct {
	name  string
	bytes []byte
}

// picturesIn returns the pictures of a folder; none if it is "".
func picturesIn(dir string) (all []named, err error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() || slices.Contains([]string{".py", ".js", ".md", ".tsv"}, filepath.Ext(e.Name())) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		all = append(all, named{e.Name(), b})
	}
	return all, nil
}
