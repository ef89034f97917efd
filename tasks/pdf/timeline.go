package pdf

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// Timeline is what the PDF of an adverse event says: what it is, its clock, and every step that was taken with it.
type Timeline struct {
	// ID is that of the adverse event, which stands on every page.
	ID string
	// PatientID, VisitID, Study and Site say whom it is about; all but the first may be empty.
	PatientID, VisitID, Study, Site string
	// Exercise says that it is a drill, and no patient is concerned: it stands on every page.
	Exercise bool
	// State is where the case stands: open, notified, acknowledged or closed.
	State string
	// From is first knowledge, DueAt when it must be acknowledged, and Limit the time between as ISO 8601 writes it.
	From, DueAt time.Time
	Limit       string
	// AcknowledgedAt is when somebody did; zero: nobody has.
	AcknowledgedAt time.Time
	// OnsetAt and KnownAt are the reporter's times exactly as they were sent, or empty.
	OnsetAt, KnownAt string
	// Seriousness are codes of the NCI Thesaurus; those that are known get their words.
	Seriousness []string
	// ReceivedAt is when the server accepted it. It dates the PDF.
	ReceivedAt time.Time
	// SHA256 and Sequence are the receipt.
	SHA256   string
	Sequence uint64
	// Description is what was reported, or what raised the flag. Line ends are kept. Beyond 1,500 letters it is cut.
	Description string
	Steps       []Step
	// Options are how the PDF looks; PerPage is not looked at.
	Options Options
}

// Step is one step on the timeline.
type Step struct {
	At time.Time
	// Name is what it was: "received", "acknowledged" and so on; one that is not known stays as it is.
	Name string
	// Who did it, or empty.
	Who string
	// Decision is "sae", "not-serious" or "duplicate", of the case Of; empty where there is none.
	Decision, Of string
	// Channel is by what somebody was told, or was to be, where that is the step.
	Channel string
	// Text is what was said about it, or empty. Beyond 400 letters it is cut.
	Text string
	// After is how many seconds after the step before it that was, Elapsed how many after first knowledge.
	After, Elapsed float64
}

// The longest texts in letters; what is cut says so. They keep a case of a few steps on one page, and one of a thousand small.
const (
	maxDescription = 1500
	maxStepText    = 400
)

// RenderTimeline writes t as a PDF in the look of the case report's: one page, or more where the steps need them. The same input
// gives the same bytes. What is promised of [Render] holds for it.
func RenderTimeline(w io.Writer, t Timeline) (Info, error) {
	if err := t.Options.Validate(); err != nil {
		return Info{}, err
	}
	l := newLayout(Document{
		ID: t.ID, PatientID: t.PatientID, VisitID: t.VisitID, Study: t.Study, Site: t.Site, ReceivedAt: t.ReceivedAt, SHA256: t.SHA256,
		Sequence: t.Sequence, Options: t.Options,
	})
	words := *l.words
	own := t.Options.timelineLabels()
	words.title, words.report = own.title, own.event
	if t.Exercise {
		words.title, words.report = own.exercise(own.title), own.exercise(own.event)
	}
	l.words = &words
	pages := l.timeline(t, own)
	size, err := write(w, l.doc, pages)
	if err != nil {
		return Info{}, fmt.Errorf("render pdf: %w", err)
	}
	return Info{Pages: len(pages), Bytes: size, Problems: l.problems()}, nil
}

// The columns of the steps, from the left edge of the table; the text takes what is left of the last.
const (
	columnStep    = 112.0
	columnAfter   = 320.0 // right edge
	columnElapsed = 384.0 // right edge
	columnWho     = 400.0
	stepPad       = 4.0
)

// timeline lays out the whole document and returns its pages.
func (l *layout) timeline(t Timeline, own *timelineLabels) []*page {
	l.cleanNames()
	description := l.chars.paragraphs(own.cut(t.Description, maxDescription))
	for i, p := range description {
		description[i] = l.chars.line(p)
	}
	steps := make([]stepLines, len(t.Steps))
	for i, s := range t.Steps {
		steps[i] = l.stepLines(s, own)
	}
	onset, known, state := l.chars.line(instant(t.OnsetAt)), l.chars.line(instant(t.KnownAt)), l.chars.line(own.named(own.states, t.State))

	l.newPage()
	l.addBookmark(l.doc.Title)
	l.coverHeading()
	l.subjectPanel()
	acknowledged := own.notYet
	if !t.AcknowledgedAt.IsZero() {
		acknowledged = shownTime(t.AcknowledgedAt) + " · " + own.verdict(t.AcknowledgedAt.After(t.DueAt))
	}
	for i, r := range []factRow{
		{field{own.acknowledged, acknowledged}, field{own.state, state}, styleBody},
		{field{own.from, shownTime(t.From)}, field{own.due(t.Limit), shownTime(t.DueAt)}, styleBody},
		{field{own.known, orDash(known)}, field{own.onset, orDash(onset)}, styleBody},
		{field{l.words.receipt, orDash(l.doc.SHA256)}, field{l.words.sequence, fmt.Sprint(t.Sequence)}, styleReceipt},
	} {
		l.factRow(i, r)
	}
	l.y += 3
	l.remarks()
	if t.Description != "" || len(t.Seriousness) > 0 {
		l.section(own.what, 64)
		var criteria []string
		for _, code := range t.Seriousness {
			criteria = append(criteria, own.named(own.seriousness, code)+" ("+code+")")
		}
		if len(criteria) > 0 {
			l.noteLines([]string{l.chars.line(strings.Join(criteria, " · "))})
		}
		if t.Description != "" {
			l.noteLines(description)
		}
	}
	l.section(own.timeline, 60)
	l.stepsHead(own)
	for _, s := range steps {
		if l.y+s.height() > l.bottom {
			l.newPage()
			l.stepsHead(own)
		}
		l.addStep(s)
	}
	for i := range l.pages {
		l.headAndFoot(i)
	}
	return l.pages
}

func (l *layout) stepsHead(own *timelineLabels) {
	l.addLine(margin, l.y, styleLabel, own.at)
	l.addLine(margin+columnStep, l.y, styleLabel, own.step)
	l.addLineRight(margin+columnAfter, l.y, styleLabel, own.after)
	l.addLineRight(margin+columnElapsed, l.y, styleLabel, own.elapsed)
	l.addLine(margin+columnWho, l.y, styleLabel, own.who)
	l.y += styleLabel.leading() + 4
	l.addBox(margin, l.y-0.75, l.span, 0.75, ink)
}

// stepLines is a step as it is printed.
type stepLines struct {
	at, after, elapsed string
	name, who, text    [][]letter
}

func (l *layout) stepLines(s Step, own *timelineLabels) stepLines {
	said := joined(": ", s.Channel, own.cut(s.Text, maxStepText))
	if s.Decision != "" {
		said = joined(" – ", joined(" ", own.named(own.decisions, s.Decision), s.Of), said)
	}
	lines := stepLines{at: shownTime(s.At), after: own.span(s.After), elapsed: own.span(s.Elapsed)}
	lines.name = l.lines(l.chars.line(own.named(own.steps, s.Name)), styleStrong, columnAfter-columnStep-64)
	lines.who = l.lines(l.chars.line(orDash(s.Who)), styleBody, l.span-columnWho)
	if said != "" {
		lines.text = l.lines(l.chars.line(said), styleCell, columnWho-columnStep-gutter)
	}
	return lines
}

func (s stepLines) height() float64 {
	left := float64(len(s.name))*styleStrong.leading() + float64(len(s.text))*styleCell.leading()
	return max(left, float64(len(s.who))*styleBody.leading()) + 2*stepPad
}

func (l *layout) addStep(s stepLines) {
	y := l.y + stepPad
	l.addLine(margin, y, styleCell, s.at)
	l.addLineRight(margin+columnAfter, y, styleCell, s.after)
	l.addLineRight(margin+columnElapsed, y, styleCell, s.elapsed)
	l.addLines(margin+columnWho, y, styleBody, s.who)
	y = l.addLines(margin+columnStep, y, styleStrong, s.name)
	l.addLines(margin+columnStep, y, styleCell, s.text)
	l.y += s.height()
	l.addBox(margin, l.y-hairline, l.span, hairline, rule)
}

// shownTime is a time to the second.
func shownTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// span is a number of seconds for people: 0.153 s, 4 min 10 s, 26 h 05 min, 3 d 2 h.
func (l *timelineLabels) span(seconds float64) string {
	sign := ""
	if seconds < 0 {
		sign, seconds = "-", -seconds
	}
	whole := int64(math.Round(seconds))
	switch {
	case seconds < 10:
		return sign + fmt.Sprintf("%.3f %s", seconds, l.units[0])
	case whole < 60:
		return sign + fmt.Sprintf("%d %s", whole, l.units[0])
	case whole < 60*60:
		return sign + fmt.Sprintf("%d %s %02d %s", whole/60, l.units[1], whole%60, l.units[0])
	case whole < 48*60*60:
		return sign + fmt.Sprintf("%d %s %02d %s", whole/3600, l.units[2], whole/60%60, l.units[1])
	}
	return sign + fmt.Sprintf("%d %s %d %s", whole/86400, l.units[3], whole/3600%24, l.units[2])
}

// cut returns at most so many letters of a text, and says where there are more.
func (l *timelineLabels) cut(s string, most int) string {
	n := 0
	for i := range s {
		if n == most {
			return strings.TrimSpace(s[:i]) + " " + l.more
		}
		n++
	}
	return s
}

// named returns the words of a name, or the name.
func (*timelineLabels) named(words map[string]string, name string) string {
	if s, ok := words[name]; ok {
		return s
	}
	return name
}

// timelineLabels are the words that only the PDF of an adverse event has, in one language.
type timelineLabels struct {
	title, event, what, timeline                          string
	state, from, known, onset, acknowledged, notYet, more string
	at, step, after, elapsed, who                         string
	units                                                 [4]string // second, minute, hour, day
	states, steps, decisions, seriousness                 map[string]string
	due                                                   func(limit string) string
	verdict                                               func(late bool) string
	exercise                                              func(title string) string
}

var englishTimeline = timelineLabels{
	title: "Adverse event", event: "Adverse event", what: "What happened", timeline: "Timeline",
	state: "State", from: "First knowledge: the clock runs from here", known: "Known, as the sender wrote it", onset: "Onset", acknowledged: "Acknowledged", notYet: "Not yet",
	more: "… [goes on; the record has all of it]",
	at:   "At", step: "Step", after: "After the one before", elapsed: "Since known", who: "Who",
	units:  [4]string{"s", "min", "h", "d"},
	states: map[string]string{"open": "Open", "notified": "Notified", "acknowledged": "Acknowledged", "closed": "Closed"},
	steps: map[string]string{
		"received": "Received", "queued": "Queued", "handed-over": "Taken up by the service", "notified": "Notified", "notification-failed": "Notification failed", "acknowledged": "Acknowledged",
		"acknowledgement-refused": "Acknowledgement refused", "follow-up": "Follow-up", "closed": "Closed", "closing-refused": "Closing refused",
	},
	decisions: map[string]string{"sae": "Serious adverse event", "not-serious": "Not serious", "duplicate": "Duplicate of"},
	seriousness: map[string]string{
		"C48275": "Results in death", "C84266": "Is life-threatening", "C83052": "Requires inpatient hospitalisation",
		"C11338": "Results in persistent or significant disability", "C83117": "Is a congenital anomaly or birth defect",
		"C82521": "Other medically important condition",
	},
	due: func(limit string) string { return "Due (" + limit + ")" },
	verdict: func(late bool) string {
		if late {
			return "after the limit"
		}
		return "within the limit"
	},
	exercise: func(title string) string { return "EXERCISE – " + title },
}

var chineseTimeline = timelineLabels{
	title: "不良事件", event: "不良事件", what: "事件描述", timeline: "时间线",
	state: "状态", from: "首次获知（计时起点）", known: "获知时间（发送方原文）", onset: "发生时间", acknowledged: "确认", notYet: "尚未确认",
	more: "……［未完，全文见原始记录］",
	at:   "时间", step: "步骤", after: "距上一步", elapsed: "距获知", who: "人员",
	units:  [4]string{"秒", "分", "小时", "天"},
	states: map[string]string{"open": "待处理", "notified": "已通知", "acknowledged": "已确认", "closed": "已关闭"},
	steps: map[string]string{
		"received": "已接收", "queued": "排队中", "handed-over": "系统已开始处理", "notified": "已通知", "notification-failed": "通知失败", "acknowledged": "已确认",
		"acknowledgement-refused": "确认未生效", "follow-up": "随访", "closed": "已关闭", "closing-refused": "关闭未生效",
	},
	decisions: map[string]string{"sae": "严重不良事件", "not-serious": "非严重", "duplicate": "重复事件，同"},
	seriousness: map[string]string{
		"C48275": "导致死亡", "C84266": "危及生命", "C83052": "需要住院治疗", "C11338": "导致永久或显著的残疾",
		"C83117": "先天性异常或出生缺陷", "C82521": "其他重要医学事件",
	},
	due: func(limit string) string { return "截止时间（" + limit + "）" },
	verdict: func(late bool) string {
		if late {
			return "超出时限"
		}
		return "在时限内"
	},
	exercise: func(title string) string { return "演练 – " + title },
}

func (o Options) timelineLabels() *timelineLabels {
	if o.Language == Chinese {
		return &chineseTimeline
	}
	return &englishTimeline
}
