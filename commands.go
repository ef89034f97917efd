package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"casepress/broker/brokerpb"
	"casepress/client"
	"casepress/jsonfile"
	"casepress/study"
	"casepress/tasks/instrument"
)

// Remote is where a command finds the broker.
type Remote struct {
	Addr    string        `default:"127.0.0.1:9090" env:"CASEPRESS_ADDR,CASEPRESS_GRPC_ADDR" help:"Address of the broker."`
	Timeout time.Duration `default:"10s" help:"How long a call may take."`
}

// connected makes a connection, and ends it after do.
func (r *Remote) connected(do func(*grpc.ClientConn) error) (err error) {
	conn, err := client.Dial(r.Addr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	err = do(conn)
	if status.Code(err) == codes.Unavailable && conn.GetState() != connectivity.Ready { // else it has answered so
		return fmt.Errorf("no answer from a casepress at %s; --addr names another: %w", r.Addr, err)
	}
	return err
}

// call is connected for one call.
func (r *Remote) call(ctx context.Context, do func(context.Context, brokerpb.BrokerClient) error) error {
	return r.connected(func(conn *grpc.ClientConn) error {
		ctx, cancel := context.WithTimeout(ctx, r.Timeout)
		defer cancel()
		return do(ctx, brokerpb.NewBrokerClient(conn))
	})
}

// Send sends one message, or one for each line of standard input.
type Send struct {
	Remote  `embed:""`
	Topic   string            `arg:"" help:"Topic to send to."`
	Payload string            `arg:"" optional:"" help:"The message. Without it each line of standard input is one."`
	ID      string            `name:"id" env:"-" help:"Names the message, so that sending it again is not a second one."`
	Key     string            `env:"-" help:"What the messages are about; order per key can be kept."`
	Header  map[string]string `short:"H" env:"-" help:"name=value to go with the messages; may be repeated."`
	Delay   time.Duration     `env:"-" help:"Do not deliver before so long from now."`
	stdin   io.Reader
}

// Run prints the offset of a single message, or how many were sent.
func (s *Send) Run(ctx context.Context, stdout, _ io.Writer) error {
	return s.connected(func(conn *grpc.ClientConn) error {
		if s.Payload == "" {
			return s.lines(ctx, conn, stdout)
		}
		ctx, cancel := context.WithTimeout(ctx, s.Timeout)
		defer cancel()
		offset, err := client.NewProducer(conn).Send(ctx, s.message([]byte(s.Payload)))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(stdout, offset)
		return err
	})
}

func (s *Send) message(payload []byte) client.Message {
	m := client.Message{Topic: s.Topic, ID: s.ID, Key: s.Key, Payload: payload}
	for name, value := range s.Header {
		m.Headers = append(m.Headers, client.Header{Name: name, Value: value})
	}
	if s.Delay > 0 {
		m.DeliverAt = time.Now().Add(s.Delay)
	}
	return m
}

// lines sends each line and stops at the first that is not taken.
func (s *Send) lines(ctx context.Context, conn grpc.ClientConnInterface, stdout io.Writer) error {
	if s.ID != "" {
		return errors.New("--id names one message: give it as an argument")
	}
	in := s.stdin
	if in == nil {
		in = os.Stdin
	}
	stream := client.NewStream(conn, 0)
	var pending []*client.Pending
	sent := 0
	settle := func(keep int) error { // waits for all but the newest
		for ; len(pending) > keep; pending = pending[1:] {
			wait, cancel := context.WithTimeout(ctx, s.Timeout)
			_, err := pending[0].Wait(wait)
			cancel()
			if err != nil {
				return err
			}
			sent++
		}
		return nil
	}
	scanner := bufio.NewScanner(in)
	scanner.Buffer(nil, 1<<20)
	var err error
	for err == nil && scanner.Scan() {
		var p *client.Pending
		if p, err = stream.Send(ctx, s.message(bytes.Clone(scanner.Bytes()))); err == nil {
			pending = append(pending, p)
			err = settle(512)
		}
	}
	err = errors.Join(err, scanner.Err())
	if err == nil {
		err = settle(0)
	}
	closing, cancel := context.WithTimeout(ctx, time.Second) // after an error, what else is on its way
	defer cancel()
	_, printed := fmt.Fprintln(stdout, sent, "sent")
	return errors.Join(err, stream.Close(closing), printed)
}

// Subscribe prints messages as they come.
type Subscribe struct {
	Remote  `embed:""`
	Topic   string `arg:"" help:"Topic to read."`
	Group   string `arg:"" help:"Group to read as: every group gets every message, its members share."`
	Latest  bool   `env:"-" help:"Start a new group after the newest message, not at the oldest."`
	Ordered bool   `env:"-" help:"Keep the order of each key."`
	Count   int    `short:"n" env:"-" help:"Stop after so many messages. 0: go on until interrupted."`
	JSON    bool   `name:"json" env:"-" help:"Print each message as a line of JSON, with what travels beside the payload."`
}

// Run acknowledges each message when it is printed.
func (s *Subscribe) Run(ctx context.Context, stdout, _ io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	printed := 0
	handle := func(_ context.Context, m *client.Message) error {
		if err := s.print(stdout, m); err != nil {
			stop()
			return err
		}
		if printed++; printed == s.Count {
			stop()
		}
		return nil
	}
	return s.connected(func(conn *grpc.ClientConn) error {
		return client.NewConsumer(conn, client.ConsumerOptions{
			Topic: s.Topic, Group: s.Group, Latest: s.Latest, Ordered: s.Ordered, Window: 64,
		}, handle).Run(ctx)
	})
}

func (s *Subscribe) print(w io.Writer, m *client.Message) error {
	if s.JSON {
		return json.NewEncoder(w).Encode(m)
	}
	_, err := fmt.Fprintf(w, "%s\n", m.Payload)
	return err
}

// Topics lists topics, or acts on one.
type Topics struct {
	Remote   `embed:""`
	Topic    string `arg:"" optional:"" help:"Describe this topic. Without it all are listed."`
	Create   bool   `xor:"act" env:"-" help:"Create the topic."`
	Delete   bool   `xor:"act" env:"-" help:"Delete the topic with its messages and groups."`
	Dead     bool   `xor:"act" env:"-" help:"List the topic's dead letters that were not sent again."`
	Redrive  bool   `xor:"act" env:"-" help:"Send the topic's dead letters to it again."`
	Position uint64 `name:"from" env:"-" help:"With --dead: list from this offset on."`
}

// Run prints what was asked.
func (t *Topics) Run(ctx context.Context, stdout, _ io.Writer) error {
	return t.call(ctx, func(ctx context.Context, b brokerpb.BrokerClient) error {
		switch {
		case t.Topic == "" && (t.Create || t.Delete || t.Dead || t.Redrive):
			return errors.New("name the topic")
		case t.Topic == "":
			return t.list(ctx, b, stdout)
		case t.Create:
			_, err := b.CreateTopic(ctx, &brokerpb.CreateTopicRequest{Topic: t.Topic})
			return err
		case t.Delete:
			_, err := b.DeleteTopic(ctx, &brokerpb.DeleteTopicRequest{Topic: t.Topic})
			return err
		case t.Redrive:
			a, err := b.RedriveDeadLetters(ctx, &brokerpb.RedriveDeadLettersRequest{Topic: t.Topic})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(stdout, a.GetRedriven(), "sent again")
			return err
		case t.Dead:
			return t.dead(ctx, b, stdout)
		}
		return t.table(ctx, b, stdout, []string{t.Topic})
	})
}

func (t *Topics) list(ctx context.Context, b brokerpb.BrokerClient, w io.Writer) error {
	a, err := b.ListTopics(ctx, &brokerpb.ListTopicsRequest{})
	if err != nil {
		return err
	}
	return t.table(ctx, b, w, a.GetTopics())
}

func (t *Topics) table(ctx context.Context, b brokerpb.BrokerClient, w io.Writer, topics []string) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "TOPIC\tSTART\tEND\tBYTES\tGROUPS")
	for _, topic := range topics {
		a, err := b.DescribeTopic(ctx, &brokerpb.DescribeTopicRequest{Topic: topic})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\n", topic, a.GetStart(), a.GetEnd(), a.GetBytes(), len(a.GetGroups()))
	}
	return out.Flush()
}

func (t *Topics) dead(ctx context.Context, b brokerpb.BrokerClient, w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "OFFSET\tTIME\tGROUP\tDELIVERIES\tREASON")
	for from, more := t.Position, true; more; more = from > 0 {
		a, err := b.ListDeadLetters(ctx, &brokerpb.ListDeadLettersRequest{Topic: t.Topic, From: from})
		if err != nil {
			return err
		}
		for _, m := range a.GetLetters() {
			h := make(map[string]string, len(m.GetHeaders()))
			for _, one := range m.GetHeaders() {
				h[one.GetName()] = one.GetValue()
			}
			fmt.Fprintf(out, "%d\t%s\t%s\t%s\t%s\n", m.GetOffset(), m.GetTime().AsTime().Format(time.RFC3339), h["dead-group"], h["dead-count"], h["dead-reason"])
		}
		from = a.GetNext()
	}
	return out.Flush()
}

// Groups lists the groups of a topic, or acts on one.
type Groups struct {
	Remote `embed:""`
	Topic  string    `arg:"" help:"Topic of the groups."`
	Group  string    `arg:"" optional:"" help:"Describe this group. Without it all are listed."`
	Seek   string    `xor:"act" env:"-" help:"Let the group go on at earliest, latest or an offset."`
	SeekTo time.Time `xor:"act" format:"2006-01-02T15:04:05Z07:00" env:"-" help:"Let the group go on at the first message of this time, such as 2026-11-21T20:00:00Z."`
	Delete bool      `xor:"act" env:"-" help:"Forget the group."`
}

// Run prints what was asked.
func (g *Groups) Run(ctx context.Context, stdout, _ io.Writer) error {
	return g.call(ctx, func(ctx context.Context, b brokerpb.BrokerClient) error {
		switch acts := g.Delete || g.Seek != "" || !g.SeekTo.IsZero(); {
		case acts && g.Group == "":
			return errors.New("name the group")
		case g.Delete:
			_, err := b.DeleteGroup(ctx, &brokerpb.DeleteGroupRequest{Topic: g.Topic, ConsumerGroup: g.Group})
			return err
		case acts:
			return g.seek(ctx, b, stdout)
		case g.Group != "":
			return g.table(ctx, b, stdout, []string{g.Group})
		}
		a, err := b.ListGroups(ctx, &brokerpb.ListGroupsRequest{Topic: g.Topic})
		if err != nil {
			return err
		}
		return g.table(ctx, b, stdout, a.GetGroups())
	})
}

func (g *Groups) seek(ctx context.Context, b brokerpb.BrokerClient, w io.Writer) error {
	p, err := g.position()
	if err != nil {
		return err
	}
	a, err := b.SetPosition(ctx, &brokerpb.SetPositionRequest{Topic: g.Topic, ConsumerGroup: g.Group, Position: p})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, a.GetOffset())
	return err
}

func (g *Groups) table(ctx context.Context, b brokerpb.BrokerClient, w io.Writer, groups []string) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "GROUP\tSTART\tNEXT\tEND\tLAG\tIN FLIGHT\tDELAYED\tMEMBERS\tOLDEST UNACKED")
	for _, group := range groups {
		a, err := b.DescribeGroup(ctx, &brokerpb.DescribeGroupRequest{Topic: g.Topic, ConsumerGroup: group})
		if err != nil {
			return err
		}
		age := "-"
		if a.OldestUnackedAge != nil {
			age = a.GetOldestUnackedAge().AsDuration().Round(time.Millisecond).String()
		}
		fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", group, a.GetStart(), a.GetNext(), a.GetEnd(),
			a.GetLag(), a.GetInFlight(), a.GetDelayed(), a.GetMembers(), age)
	}
	return out.Flush()
}

func (g *Groups) position() (*brokerpb.Position, error) {
	switch {
	case !g.SeekTo.IsZero():
		return &brokerpb.Position{At: &brokerpb.Position_Time{Time: timestamppb.New(g.SeekTo)}}, nil
	case g.Seek == "earliest":
		return &brokerpb.Position{At: &brokerpb.Position_Earliest{Earliest: true}}, nil
	case g.Seek == "latest":
		return &brokerpb.Position{At: &brokerpb.Position_Latest{Latest: true}}, nil
	}
	offset, err := strconv.ParseUint(g.Seek, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("--seek is %q: it must be earliest, latest or an offset", g.Seek)
	}
	return &brokerpb.Position{At: &brokerpb.Position_Offset{Offset: offset}}, nil
}

// Health asks a running casepress whether it is ready.
type Health struct {
	HTTPAddr string        `name:"http-addr" default:"127.0.0.1:8080" help:"Address of the API, as the running casepress has it."`
	URL      string        `name:"url" help:"What to ask in place of /readyz at that address."`
	Timeout  time.Duration `default:"3s" help:"How long to wait for the answer."`
}

// Run prints the answer and returns an error unless it is 200.
func (h *Health) Run(ctx context.Context, stdout, _ io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	url := cmp.Or(h.URL, "http://"+reachedBy(h.HTTPAddr)+"/readyz")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(stdout, io.LimitReader(answer.Body, 64<<10)); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

// Study has the commands about study files.
type Study struct {
	Check StudyCheck `cmd:"" help:"Check a study file: print what is wrong with it, as FILE:LINE:COLUMN: what would be right."`
}

// StudyCheck checks study files.
type StudyCheck struct {
	Files []string `arg:"" help:"Files to check."`
}

// Run prints the problems, and warnings of sound files, and returns an error if there are problems.
func (s *StudyCheck) Run(_ context.Context, stdout, _ io.Writer) error {
	return checkFiles(stdout, s.Files, func(file string) (string, []jsonfile.Problem) {
		checked, problems := study.CheckFile(file)
		if len(problems) > 0 {
			return "", problems
		}
		what := fmt.Sprintf("study %s, version %d, sha256 %s", checked.ID, checked.Version, checked.SHA256)
		for _, m := range checked.MissingWording() {
			what += fmt.Sprintf("\n%s: warning: %v", file, m)
		}
		return what, nil
	})
}

// Instrument has the commands about definitions of instruments.
type Instrument struct {
	Check InstrumentCheck `cmd:"" help:"Check the definition of an instrument: print what is wrong with it, as FILE:LINE:COLUMN: what would be right."`
}

// InstrumentCheck checks definitions of instruments.
type InstrumentCheck struct {
	Files []string `arg:"" help:"Files to check."`
}

// Run prints the problems and returns an error if there are any.
func (i *InstrumentCheck) Run(_ context.Context, stdout, _ io.Writer) error {
	return checkFiles(stdout, i.Files, func(file string) (string, []jsonfile.Problem) {
		d, problems := instrument.CheckFile(file)
		if len(problems) > 0 {
			return "", problems
		}
		return fmt.Sprintf("instrument %s, version %s, sha256 %s", d.ID, d.Version, d.SHA256), nil
	})
}

// checkFiles prints for each file what it is or its problems, and returns an error if one has any.
func checkFiles(stdout io.Writer, files []string, check func(file string) (what string, problems []jsonfile.Problem)) error {
	broken := 0
	for _, file := range files {
		what, problems := check(file)
		if len(problems) > 0 {
			broken++
			if err := jsonfile.Print(stdout, problems); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintf(stdout, "%s: %s\n", file, what); err != nil {
			return err
		}
	}
	if broken > 0 {
		return fmt.Errorf("%d of %d files cannot be used", broken, len(files))
	}
	return nil
}
