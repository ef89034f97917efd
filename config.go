package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"casepress/blob"
	"casepress/broker"
	"casepress/broker/brokergrpc"
	"casepress/dispatcher"
	"casepress/handlers"
	"casepress/notify"
	"casepress/notify/mail"
	"casepress/service"
	"casepress/study"
	"casepress/tasks"
	"casepress/tasks/pdf"
	"casepress/tasks/picture"
)

// version is set by the linker for a release.
var version = "dev"

// command is one of casepress's commands, ready to run.
type command interface {
	Run(ctx context.Context, stdout, stderr io.Writer) error
}

// cli is the command line. Every flag has an environment twin: CASEPRESS_ and
// the flag's name in capitals, dashes as underscores.
type cli struct {
	Serve  Serve  `cmd:"" default:"withargs" help:"Serve the API and the page (the default command)."`
	Health Health `cmd:"" help:"Ask a running casepress whether it is ready; exit 1 if not."`

	Study      Study      `cmd:"" help:"Check study files."`
	Instrument Instrument `cmd:"" help:"Check definitions of instruments."`

	Rescore Rescore `cmd:"" help:"Score responses again by another version of their instrument, beside the scores they have; print what changes."`

	Drill Drill `cmd:"" help:"Exercises on a running casepress."`

	Relay    Relay    `cmd:"" help:"Carry a topic of a running casepress to Kafka."`
	Progress Progress `cmd:"" help:"Serve trial progress from events in Kafka, in a process of its own."`

	VaultKey VaultKey `cmd:"" help:"Make a key for --originals=vault."`

	Send      Send      `cmd:"" help:"Send a message to a topic, or each line of standard input."`
	Subscribe Subscribe `cmd:"" help:"Print the messages of a topic as they come."`
	Topics    Topics    `cmd:"" help:"List, create and delete topics; list dead letters and send them again."`
	Groups    Groups    `cmd:"" help:"Tell where the groups of a topic stand; move and delete them."`

	Version kong.VersionFlag `help:"Print the version." env:"-"`
}

// Serve holds the settings of the service.
type Serve struct {
	HTTPAddr  string `name:"http-addr" default:"127.0.0.1:8080" help:"Address of the API and the page."`
	AdminAddr string `default:"127.0.0.1:8081" help:"Address of /metrics, /debug/pprof and health checks. Keep it private."`
	GRPCAddr  string `name:"grpc-addr" default:"127.0.0.1:9090" help:"Address of the broker for other services, over gRPC."`
	Hosts     []Host `placeholder:"NAME,…" help:"Names that the service is reached by beside its addresses and localhost; requests for any other are refused (421)."`
	DataDir   string `default:"./data" help:"Folder for everything that must survive: log, rows, images, PDFs."`

	Studies string `placeholder:"DIR" help:"Folder of study files, {id}.json; a study without one is taken with defaults. See docs/study.md."`

	Workers      int            `default:"${workers}" help:"Case reports in work at once. Pictures are decoded one a processor, HEIC one at a time, however many reports there are."`
	LaneWorkers  map[string]int `placeholder:"LANE=N;…" help:"Workers by the name of a lane, as case-reports=8; wins over --workers. The lanes are case-reports, questionnaires and urgent."`
	TaskTimeout  time.Duration  `default:"2m" help:"Longest work on one picture or one PDF of a report; waiting does not count."`
	MaxAttempts  int            `default:"${max_attempts}" help:"Attempts before a report is failed. A retry call starts the count anew."`
	Backoff      time.Duration  `default:"${backoff}" help:"Pause before the second attempt; doubles with each further one, less up to half at random."`
	MaxBackoff   time.Duration  `default:"${max_backoff}" help:"Longest pause between two attempts."`
	DrainTimeout time.Duration  `default:"20s" help:"How long running reports may take to finish after the signal to stop. A second signal ends at once."`

	ImageMemory Size `default:"128MiB" help:"Memory for images in work, together. One that needs more than all of it, and every HEIC, takes its turn beside them, one at a time, with up to 320 MiB of its own."`
	ImageSide   int  `default:"1600" help:"Longest side of a compressed image, in pixels."`
	JPEGQuality int  `name:"jpeg-quality" default:"80" help:"Quality of compressed images, 1 to 100."`

	ReportImagesPerPage int    `default:"1" enum:"1,2,4" help:"Images on a page of the PDF: 1, 2 or 4."`
	ReportPaper         string `default:"a4" enum:"a4,letter" help:"Paper of the PDF: a4 or letter."`
	ReportLanguage      string `default:"en" enum:"en,zh" help:"Language of the PDF's own words: en or zh. What was handed in stays as it is."`

	Originals    string `default:"keep" enum:"keep,vault,drop" help:"Images as they were handed in: keep them; vault: keep them encrypted; drop: delete them once their report is completed."`
	VaultKeyFile string `help:"File with the key of the vault, made by casepress vault-key. Needed as long as anything is encrypted."`

	WebhookAllow       []string      `placeholder:"CIDR,…" help:"Networks that events are sent to although they are not public, and over http, as 10.1.0.0/16."`
	WebhookTimeout     time.Duration `default:"${webhook_timeout}" help:"Longest attempt to send an event to an endpoint."`
	WebhookConnections int           `default:"${webhook_connections}" help:"Attempts for one endpoint at once."`

	Mail Mail `embed:""`

	ScrubRate Size `default:"10MiB" help:"How much of the images and PDFs is read in a second, in the background, to find damaged ones once a day. 0: none."`

	Limits       Limits       `embed:""`
	BrokerLimits BrokerLimits `embed:""`

	LogOptions `embed:""`
}

// Limits are what the HTTP interface refuses; each refusal names its limit.
type Limits struct {
	MaxHTTPConnections           int           `name:"max-http-connections" default:"${max_http_connections}" help:"Most connections of HTTP clients; one more takes the place of one that is idle, or is answered 503. 0: no limit."`
	MaxHTTPConnectionsPerAddress int           `name:"max-http-connections-per-address" default:"${max_http_connections_per_address}" help:"Most of them from one address; behind a proxy that is the proxy's, so raise it there or switch it off. 0: no limit."`
	MaxBody                      Size          `default:"${max_body}" help:"Largest upload (413)."`
	MaxUploads                   int           `default:"${max_uploads}" help:"Most uploads at once (503). 0: no limit."`
	MaxUploadsPerAddress         int           `default:"${max_uploads_per_address}" help:"Most uploads at once from one client address (503); behind a proxy that is the proxy's, see --client-header. 0: no limit."`
	ClientHeader                 string        `placeholder:"NAME" help:"Header in which the proxy tells the client's address, such as X-Forwarded-For; its last address counts. Believed whoever sends it."`
	MaxImages                    int           `default:"${max_images}" help:"Most images in one report (400)."`
	MaxMegapixels                int           `default:"${max_megapixels}" help:"Largest image, in millions of pixels; an upload with a larger one is refused as a whole (400)."`
	MaxNotes                     int           `default:"${max_notes}" help:"Longest notes, in characters (400)."`
	MaxBatch                     int           `default:"${max_batch}" help:"Most questionnaire responses in one batch (400)."`
	MaxBatchBytes                Size          `default:"${max_batch_bytes}" help:"Largest batch of questionnaire responses (413)."`
	StallTimeout                 time.Duration `default:"${stall_timeout}" help:"A client that sends no byte for so long (408), or does not take the next 16 KiB of an answer, is dropped."`
	UploadTimeout                time.Duration `default:"${upload_timeout}" help:"Longest time an upload may take however steadily it trickles (408)."`
	MinUploadRate                Size          `default:"${min_upload_rate}" help:"Bytes a second that an upload must bring, over each --upload-rate-span that the server has waited for it (408). 0: no limit."`
	UploadRateSpan               time.Duration `default:"${upload_rate_span}" help:"Time over which --min-upload-rate is measured, and so the longest pause of a slow line."`
	ReadTimeout                  time.Duration `default:"5s" help:"Longest wait of a question until the rows show everything that was accepted (503)."`
	MaxWait                      time.Duration `default:"${max_wait}" help:"Longest wait of a status poll."`
	MaxStreams                   int           `default:"${max_streams}" help:"Most clients that are kept waiting for events (503). 0: no limit."`
	MaxStreamsPerAddress         int           `default:"${max_streams_per_address}" help:"Most of them from one client address (503), which counts as for uploads. 0: no limit."`
	MaxWebhookEndpoints          int           `default:"${max_webhook_endpoints}" help:"Most endpoints that events are sent to (409)."`
	MinFreeDisk                  Size          `default:"${min_free_disk}" help:"Free space below which nothing new is taken in (507). 0: no floor."`
	MinFreeDiskUrgent            Size          `default:"${min_free_disk_urgent}" help:"Free space below which not even adverse events are taken in (507); what lies between this and --min-free-disk is kept for them. 0: no floor."`
	MaxBacklogAge                time.Duration `default:"24h" help:"Age of the oldest waiting submission of a lane above which nothing new is taken in for it (503); never for urgent. 0: no limit."`
}

// BrokerLimits bound the broker and what it refuses its clients, over gRPC (FAILED_PRECONDITION).
type BrokerLimits struct {
	MaxTopics        int  `default:"${max_topics}" help:"Most topics of the broker before its clients can make no more."`
	MaxGroups        int  `default:"${max_groups}" help:"Most consumer groups of the broker before its clients can make no more."`
	MaxSubscriptions int  `default:"${max_subscriptions}" help:"Most subscriptions on one connection to the broker."`
	MaxConnections   int  `default:"${max_connections}" help:"Most connections to the broker; one more is closed at once."`
	MaxMembers       int  `default:"${max_members}" help:"Most members of groups of all the broker's clients: subscriptions, and groups that are fetched from."`
	MaxUnacked       int  `default:"${max_unacked}" help:"Most messages of a group that are delivered, put off or waiting for their key and not acknowledged; beyond it the group gets nothing new."`
	MaxReadAhead     Size `default:"${max_read_ahead}" help:"Bytes of messages that all groups read ahead together; beyond it they are read one by one."`

	RetainAge   time.Duration `default:"0" help:"Age from which messages of clients' topics may be removed, once every group has acknowledged them. 0: never. casepress's own topics are kept."`
	RetainBytes Size          `default:"0" help:"Bytes of a client's topic from which its oldest messages may be removed, once every group has acknowledged them. 0: no limit."`

	MaxOpenFiles int  `default:"${max_open_files}" help:"Most files that the logs of the broker's topics hold open together; a few dozens more are open for moments."`
	MaxUnread    Size `default:"${max_unread}" help:"Bytes of answers that the broker holds for one connection whose client does not read, beside 72 KiB for each subscription."`
}

// maxUnread is as much as an answer may have.
const maxUnread = 1 << 30

func (l *BrokerLimits) validate() error {
	if min(l.MaxTopics, l.MaxGroups, l.MaxSubscriptions, l.MaxConnections, l.MaxMembers) < 1 {
		return errors.New("--max-topics, --max-groups, --max-subscriptions, --max-connections and --max-members must be at least 1")
	}
	if l.MaxUnacked < 1 || l.MaxUnacked > broker.MostUnacked {
		return fmt.Errorf("--max-unacked is %d: it must be 1 to %d", l.MaxUnacked, broker.MostUnacked)
	}
	if l.MaxReadAhead < 1 {
		return errors.New("--max-read-ahead is 0: it must be at least 1 byte")
	}
	if l.RetainAge < 0 {
		return fmt.Errorf("--retain-age is %v: it must be 0 or more", l.RetainAge)
	}
	if l.MaxOpenFiles < broker.MinOpenFiles {
		return fmt.Errorf("--max-open-files is %d: it must be at least %d", l.MaxOpenFiles, broker.MinOpenFiles)
	}
	if l.MaxUnread < 1 || l.MaxUnread > maxUnread {
		return fmt.Errorf("--max-unread is %d bytes: it must be 1 byte to %d MiB", l.MaxUnread, maxUnread>>20)
	}
	return nil
}

// brokerOptions are those of the settings that hold for the broker itself, whoever uses it.
func (l *BrokerLimits) brokerOptions() broker.Options {
	return broker.Options{
		MaxOpenFiles: l.MaxOpenFiles, MaxUnacked: l.MaxUnacked, MaxReadAhead: int64(l.MaxReadAhead),
		RetainAge: l.RetainAge, RetainBytes: int64(l.RetainBytes),
	}
}

// headerName is a token of RFC 9110, section 5.6.2; "" is none.
var headerName = regexp.MustCompile("^[0-9A-Za-z!#$%&'*+.^_`|~-]*$")

func (l *Limits) validate() error {
	switch {
	case l.MaxBody < 1:
		return errors.New("--max-body is 0: it must be at least 1 byte")
	case l.MaxUploads < 0:
		return fmt.Errorf("--max-uploads is %d: it must be 0 or more", l.MaxUploads)
	case l.MaxUploadsPerAddress < 0:
		return fmt.Errorf("--max-uploads-per-address is %d: it must be 0 or more", l.MaxUploadsPerAddress)
	case min(l.MaxHTTPConnections, l.MaxHTTPConnectionsPerAddress) < 0:
		return errors.New("--max-http-connections and --max-http-connections-per-address must be 0 or more")
	case min(l.MaxStreams, l.MaxStreamsPerAddress) < 0:
		return errors.New("--max-streams and --max-streams-per-address must be 0 or more")
	case l.MaxWebhookEndpoints < 1:
		return fmt.Errorf("--max-webhook-endpoints is %d: it must be at least 1", l.MaxWebhookEndpoints)
	case !headerName.MatchString(l.ClientHeader):
		return fmt.Errorf("--client-header is %q: it must be the name of a header, such as X-Forwarded-For", l.ClientHeader)
	case l.MaxImages < 1:
		return fmt.Errorf("--max-images is %d: it must be at least 1", l.MaxImages)
	case l.MaxMegapixels < 1:
		return fmt.Errorf("--max-megapixels is %d: it must be at least 1", l.MaxMegapixels)
	case l.MaxNotes < 1:
		return fmt.Errorf("--max-notes is %d: it must be at least 1", l.MaxNotes)
	case l.MaxBatch < 1 || l.MaxBatchBytes < 1:
		return fmt.Errorf("--max-batch is %d and --max-batch-bytes %d: both must be at least 1", l.MaxBatch, l.MaxBatchBytes)
	case int64(l.MaxBatchBytes) > l.batchMemory():
		return fmt.Errorf("--max-batch-bytes is %d: it must be at most %d, what the batches of one client may take together", l.MaxBatchBytes, l.batchMemory())
	case l.MinFreeDisk > 0 && l.MinFreeDiskUrgent >= l.MinFreeDisk:
		return fmt.Errorf("--min-free-disk-urgent is %d bytes and --min-free-disk %d: the first must be less, so that there is something between them that is kept for adverse events", l.MinFreeDiskUrgent, l.MinFreeDisk)
	case min(l.StallTimeout, l.UploadTimeout, l.UploadRateSpan, l.ReadTimeout, l.MaxWait) <= 0:
		return errors.New("--stall-timeout, --upload-timeout, --upload-rate-span, --read-timeout and --max-wait must be above 0")
	}
	return nil
}

// batchMemory is how many bytes of batches one client may have under way.
func (l *Limits) batchMemory() int64 {
	if l.MaxUploadsPerAddress == 0 {
		return handlers.MaxBatchMemory
	}
	return handlers.MaxBatchMemoryFrom
}

// maxWebhookConnections is as many as no receiver takes for an attack.
const maxWebhookConnections = 64

// minImageMemory is room for one photo of 4 megapixels and a PDF.
const minImageMemory = 16 << 20

func (c *Serve) validate() error {
	switch {
	case c.Workers < 1 || c.Workers > dispatcher.MaxWorkers:
		return fmt.Errorf("--workers is %d: it must be 1 to %d", c.Workers, dispatcher.MaxWorkers)
	case c.TaskTimeout <= 0:
		return fmt.Errorf("--task-timeout is %v: it must be above 0", c.TaskTimeout)
	case c.Backoff <= 0 || c.MaxBackoff < c.Backoff:
		return fmt.Errorf("--backoff is %v and --max-backoff %v: the first must be above 0, the second no shorter", c.Backoff, c.MaxBackoff)
	case c.DrainTimeout < 0:
		return fmt.Errorf("--drain-timeout is %v: it must be 0 or more", c.DrainTimeout)
	case c.ImageMemory < minImageMemory:
		return fmt.Errorf("--image-memory is %d bytes: it must be at least %d MiB", c.ImageMemory, minImageMemory>>20)
	case c.WebhookTimeout <= 0 || c.WebhookConnections < 1 || c.WebhookConnections > maxWebhookConnections:
		return fmt.Errorf("--webhook-timeout is %v and --webhook-connections %d: the first must be above 0, the second 1 to %d", c.WebhookTimeout, c.WebhookConnections, maxWebhookConnections)
	case c.MaxAttempts < 1:
		return fmt.Errorf("--max-attempts is %d: it must be at least 1", c.MaxAttempts)
	case c.ImageSide < 100:
		return fmt.Errorf("--image-side is %d: it must be at least 100 pixels", c.ImageSide)
	case c.JPEGQuality < 1 || c.JPEGQuality > 100:
		return fmt.Errorf("--jpeg-quality is %d: it must be 1 to 100", c.JPEGQuality)
	case c.Originals == "vault" && c.VaultKeyFile == "":
		return errors.New("--originals=vault needs --vault-key-file: make one with casepress vault-key FILE")
	}
	return errors.Join(c.Limits.validate(), c.BrokerLimits.validate())
}

// Size is a number of bytes; its text is a number with an optional unit of B,
// KiB, MiB, GiB or TiB.
type Size int64

var units = []struct {
	suffix string
	bytes  int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

// UnmarshalText reads "200MiB", "1024".
func (s *Size) UnmarshalText(text []byte) error {
	for _, u := range units {
		number, ok := strings.CutSuffix(string(text), u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 63) // which takes no sign
		if err != nil || n > uint64((1<<62)/u.bytes) {
			break
		}
		*s = Size(int64(n) * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is not a size: write it as 512MiB, with B, KiB, MiB, GiB or TiB", text)
}

// Host is a name that requests ask for, such as casepress.clinic.example; a port is not looked at.
type Host string

// UnmarshalText refuses what no Host header can have, since it would never match.
func (h *Host) UnmarshalText(text []byte) error {
	*h = Host(text)
	if *h == "" || strings.ContainsAny(string(*h), "/?#@* ") {
		return fmt.Errorf("%q is not the name of a host: write it as casepress.clinic.example, without scheme and path", text)
	}
	return nil
}

// Level is the lowest level that is logged.
type Level slog.Level

// UnmarshalText reads "debug", "info", "warn" and "error".
func (l *Level) UnmarshalText(text []byte) error {
	if err := (*slog.Level)(l).UnmarshalText(text); err != nil {
		return fmt.Errorf("%q is not a level: it must be debug, info, warn or error", text)
	}
	return nil
}

// defaults are those that stand beside what they set.
var defaults = kong.Vars{
	"version": version, "topic_updates": tasks.TopicUpdates, "workers": strconv.Itoa(service.CaseReportWorkers), "max_attempts": strconv.Itoa(dispatcher.DefaultMaxAttempts),
	"backoff": shortDuration(dispatcher.DefaultBackoff), "max_backoff": shortDuration(dispatcher.DefaultMaxBackoff),

	"max_body": sizeText(handlers.DefaultMaxBodyBytes), "max_images": strconv.Itoa(handlers.DefaultMaxImages),
	"max_megapixels": strconv.Itoa(handlers.DefaultMaxPixels / 1_000_000), "max_notes": strconv.Itoa(handlers.DefaultMaxNotes),
	"max_batch": strconv.Itoa(handlers.DefaultMaxBatchEntries), "max_batch_bytes": sizeText(handlers.DefaultMaxBatchBytes),
	"max_uploads": strconv.Itoa(handlers.DefaultMaxUploads), "max_uploads_per_address": strconv.Itoa(handlers.DefaultMaxUploadsPerAddress),
	"stall_timeout": shortDuration(handlers.DefaultStallTimeout), "upload_timeout": shortDuration(handlers.DefaultUploadTimeout),
	"min_upload_rate": sizeText(handlers.DefaultMinUploadRate), "upload_rate_span": shortDuration(handlers.DefaultUploadRateSpan),
	"max_webhook_endpoints": strconv.Itoa(handlers.DefaultMaxWebhookEndpoints),
	"webhook_timeout":       shortDuration(notify.DefaultTimeout), "webhook_connections": strconv.Itoa(notify.DefaultPerEndpoint),
	"smtp_timeout": shortDuration(mail.DefaultTimeout), "smtp_connections": strconv.Itoa(mail.DefaultConnections),
	"max_streams": strconv.Itoa(handlers.DefaultMaxStreams), "max_streams_per_address": strconv.Itoa(handlers.DefaultMaxStreamsPerAddress),
	"max_http_connections": strconv.Itoa(handlers.DefaultMaxConnections), "max_http_connections_per_address": strconv.Itoa(handlers.DefaultMaxConnectionsPerAddress),
	"max_wait": shortDuration(handlers.DefaultMaxWait), "min_free_disk": sizeText(handlers.DefaultMinFreeDisk), "min_free_disk_urgent": sizeText(handlers.DefaultMinFreeDiskUrgent),

	"max_topics": strconv.Itoa(brokergrpc.DefaultMaxTopics), "max_groups": strconv.Itoa(brokergrpc.DefaultMaxGroups),
	"max_subscriptions": strconv.Itoa(brokergrpc.DefaultMaxSubscriptions), "max_connections": strconv.Itoa(brokergrpc.DefaultMaxConnections),
	"max_unacked": strconv.Itoa(broker.DefaultMaxUnacked), "max_read_ahead": sizeText(broker.DefaultMaxReadAhead),
	"max_open_files": strconv.Itoa(broker.DefaultMaxOpenFiles),
	"max_members":    strconv.Itoa(brokergrpc.DefaultMaxMembers), "max_unread": sizeText(brokergrpc.DefaultMaxUnreadBytes),
}

// sizeText writes a size as [Size] reads it, in the largest unit that divides it.
func sizeText(bytes int64) string {
	for _, u := range units {
		if bytes%u.bytes == 0 {
			return strconv.FormatInt(bytes/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(bytes, 10)
}

// shortDuration writes 5m for 5m0s.
func shortDuration(d time.Duration) string {
	if short, whole := strings.CutSuffix(d.String(), "m0s"); whole {
		return short + "m"
	}
	return d.String()
}

// parse reads the command line. A nil command without an error means that help
// or the version was printed and all is done.
func parse(args []string, stdout, stderr io.Writer) (command, error) {
	var c cli
	done := false
	parser, err := kong.New(&c,
		kong.Name("casepress"),
		kong.Description("Takes case reports with images, questionnaires and adverse events of clinical trials, keeps them safe, and works on them afterwards."),
		kong.DefaultEnvars("CASEPRESS"),
		defaults,
		kong.Writers(stdout, stderr),
		kong.Help(help),
		kong.Exit(func(int) { done = true }),
	)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(args)
	switch {
	case done:
		return nil, nil
	case err != nil:
		if names := commandsInstead(parser.Model.Node, args); names != "" {
			err = fmt.Errorf("%w; the commands are %s, and casepress --help says what they do", err, names)
		}
		return nil, err
	}
	cmd := parsed.Selected().Target.Addr().Interface().(command)
	if c, ok := cmd.(interface{ setUnread([]string) }); ok {
		c.setUnread(unreadVariables(parser.Model, os.Environ()))
	}
	return cmd, nil
}

// fromKubernetes is how the names of variables end that Kubernetes gives each container, for each service of its namespace: one may be
// called casepress, or casepress-admin. No setting ends so.
var fromKubernetes = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_.+)?)$`)

// unreadVariables are the variables of the environment that have the name of a setting and set none, such as a
// mistyped one.
func unreadVariables(app *kong.Application, environ []string) []string {
	read := make(map[string]bool)
	var note func(*kong.Node)
	note = func(n *kong.Node) {
		for _, f := range n.Flags {
			for _, name := range f.Envs {
				read[name] = true
			}
		}
		for _, child := range n.Children {
			note(child)
		}
	}
	note(app.Node)
	var unread []string
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "CASEPRESS_") && !read[name] && !fromKubernetes.MatchString(name) {
			unread = append(unread, name)
		}
	}
	slices.Sort(unread)
	return unread
}

// commandsInstead names the commands that there are where the arguments begin with one that there is not; "" where they do not.
func commandsInstead(node *kong.Node, args []string) string {
	for _, arg := range args {
		var names []string
		at := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Type == kong.CommandNode && n.Name == arg })
		if at >= 0 {
			node = node.Children[at]
			continue
		}
		for _, n := range node.Children {
			if n.Type == kong.CommandNode && !strings.HasPrefix(arg, "-") {
				names = append(names, n.Name)
			}
		}
		return strings.Join(names, ", ")
	}
	return ""
}

// help prints the help of a command; for casepress itself also that of serve,
// since these are the flags that it takes without a command.
func help(options kong.HelpOptions, c *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, c); err != nil || c.Selected() != nil {
		return err
	}
	serve, err := kong.Trace(c.Kong, []string{"serve"})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c.Stdout); err != nil {
		return err
	}
	return kong.DefaultHelpPrinter(options, serve)
}

// serviceConfig is what the flags ask for.
func (c *Serve) serviceConfig(log *slog.Logger) (service.Config, error) {
	keys, err := c.vaultKeys()
	if err != nil {
		return service.Config{}, err
	}
	studies, err := study.Load(c.Studies)
	if err != nil {
		return service.Config{}, fmt.Errorf("--studies: %w", err)
	}
	allow, err := c.webhookAllow()
	if err != nil {
		return service.Config{}, err
	}
	mails, err := c.Mail.config(c.DataDir)
	if err != nil {
		return service.Config{}, err
	}
	api := c.handlersConfig()
	api.WebhookAllow = allow
	lanes, err := c.lanes()
	return service.Config{
		DataDir: c.DataDir, Lanes: lanes, TaskTimeout: c.TaskTimeout, ReadTimeout: c.Limits.ReadTimeout,
		Retry:     dispatcher.RetryPolicy{MaxAttempts: c.MaxAttempts, Backoff: c.Backoff, MaxBackoff: c.MaxBackoff},
		Originals: blob.Originals(c.Originals), Keys: keys,
		ScrubRate: orOff(int64(c.ScrubRate)), ImageMemory: int64(c.ImageMemory), Processors: processors, Pictures: c.pictureOptions(), Layout: c.pdfOptions(),
		Webhooks: notify.Config{Timeout: c.WebhookTimeout, PerEndpoint: c.WebhookConnections}, Mail: mails,
		Studies: studies, Broker: c.BrokerLimits.brokerOptions(), HTTP: api, Logger: log,
	}, err
}

// webhookAllow are the networks of --webhook-allow.
func (c *Serve) webhookAllow() (allow []netip.Prefix, err error) {
	for _, text := range c.WebhookAllow {
		network, err := netip.ParsePrefix(text)
		if err != nil || network != network.Masked() {
			return nil, fmt.Errorf("--webhook-allow: %q is no network: write it as 10.1.0.0/16 or fd00::/8, with zeros behind the prefix", text)
		}
		allow = append(allow, network)
	}
	return allow, nil
}

// lanes are the lanes with the numbers of workers that the flags ask for.
func (c *Serve) lanes() ([]dispatcher.Lane, error) {
	lanes, err := service.SetWorkers(service.Lanes(), c.LaneWorkers)
	if err != nil {
		return nil, fmt.Errorf("--lane-workers: %w", err)
	}
	for i := range lanes {
		if lanes[i].Name == tasks.KindCaseReport().Lane {
			if _, set := c.LaneWorkers[lanes[i].Name]; !set {
				lanes[i].Workers = c.Workers
			}
		}
		if !lanes[i].Reserved {
			lanes[i].MaxBacklogAge = c.Limits.MaxBacklogAge
		}
	}
	return lanes, nil
}

// brokerServer keeps what the service itself relies on to itself: a submission that was sent by a client of the
// broker would not have been checked.
func brokerServer(all *service.Service, l BrokerLimits, log *slog.Logger) *brokergrpc.Server {
	return brokergrpc.NewServer(all.Broker, brokergrpc.Options{
		Logger: log, ReadOnly: []string{tasks.TopicUpdates}, Private: tasks.Topics(), Room: all.CheckFreeDisk,
		MaxTopics: l.MaxTopics, MaxGroups: l.MaxGroups, MaxSubscriptions: l.MaxSubscriptions,
		MaxConnections: l.MaxConnections, MaxMembers: l.MaxMembers, MaxUnreadBytes: int(l.MaxUnread),
	})
}

func (c *Serve) handlersConfig() handlers.Config {
	return handlers.Config{
		Hosts: c.hosts(), MaxUploads: int(orOff(int64(c.Limits.MaxUploads))),
		MaxUploadsPerAddress: int(orOff(int64(c.Limits.MaxUploadsPerAddress))), ClientHeader: c.Limits.ClientHeader,
		MaxConnections: int(orOff(int64(c.Limits.MaxHTTPConnections))), MaxConnectionsPerAddress: int(orOff(int64(c.Limits.MaxHTTPConnectionsPerAddress))),
		MaxBodyBytes: int64(c.Limits.MaxBody), MaxImages: c.Limits.MaxImages,
		MaxPixels: int64(c.Limits.MaxMegapixels) * 1_000_000, MaxNotes: c.Limits.MaxNotes,
		MaxBatchEntries: c.Limits.MaxBatch, MaxBatchBytes: int64(c.Limits.MaxBatchBytes),
		StallTimeout: c.Limits.StallTimeout, UploadTimeout: c.Limits.UploadTimeout,
		MinUploadRate: orOff(int64(c.Limits.MinUploadRate)), UploadRateSpan: c.Limits.UploadRateSpan, MaxWait: c.Limits.MaxWait,
		MaxWebhookEndpoints: c.Limits.MaxWebhookEndpoints, MaxStreams: int(orOff(int64(c.Limits.MaxStreams))),
		MaxStreamsPerAddress: int(orOff(int64(c.Limits.MaxStreamsPerAddress))),
		MinFreeDisk:          orOff(int64(c.Limits.MinFreeDisk)), MinFreeDiskUrgent: orOff(int64(c.Limits.MinFreeDiskUrgent)),
	}
}

// hosts are the names that requests may ask for: those of --hosts, and the one that --http-addr has, if it has one.
func (c *Serve) hosts() []string { return hostsOf(c.HTTPAddr, c.Hosts) }

func hostsOf(addr string, hosts []Host) []string {
	var names []string
	if name, _, err := net.SplitHostPort(addr); err == nil && name != "" {
		names = append(names, name)
	}
	for _, h := range hosts {
		names = append(names, string(h))
	}
	return names
}

// orOff turns a setting's 0, which switches a limit off, into the negative value
// that says so where 0 means the default.
func orOff[T ~int64](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

func (c *Serve) pictureOptions() picture.Options {
	return picture.Options{MaxSide: c.ImageSide, Quality: c.JPEGQuality, MaxPixels: int64(c.Limits.MaxMegapixels) * 1_000_000}
}

func (c *Serve) pdfOptions() pdf.Options {
	paper := map[string]pdf.Paper{"a4": pdf.A4, "letter": pdf.Letter}[c.ReportPaper]
	return pdf.Options{PerPage: c.ReportImagesPerPage, Paper: paper, Language: pdf.Language(c.ReportLanguage)}
}
