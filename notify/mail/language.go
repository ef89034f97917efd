package mail

import (
	xlanguage "golang.org/x/text/language"

	"casepress/tasks"
)

// language is what mails say in one language. Members with a % are formats for fmt.
type language struct {
	tag string // for Content-Language

	subjectDue, subjectOverdue string // id, of study, time
	ofStudy                    string // study
	subjectFailing             string // of study, how many
	subjectExercise            string // before all others

	exercise, waits                    string // paragraphs
	study, id, state, known, due, told string // labels
	overdue                            string // behind the time
	rung                               string // who, rung, attempt
	states                             map[tasks.AdverseEventState]string

	failing                   string // heading
	failingSince, failingMore string // channel, time, reason; how many more
	open, desk, openSomewhere string // before the link to the case, before that to the desk, and without one
	footer                    string
}

var matcher = xlanguage.NewMatcher([]xlanguage.Tag{xlanguage.English, xlanguage.SimplifiedChinese})

// languageOf picks the best of our languages for a BCP 47 tag; English for "" and for what is no tag.
func languageOf(tag string) *language {
	wanted, err := xlanguage.Parse(tag)
	if err != nil {
		return &english
	}
	_, i, _ := matcher.Match(wanted)
	return [...]*language{&english, &chinese}[i]
}

var english = language{
	tag:             "en",
	subjectDue:      "Adverse event %s%s: acknowledge by %s",
	subjectOverdue:  "Adverse event %s%s: overdue since %s",
	ofStudy:         " of study %s",
	subjectFailing:  "Alerts%s cannot be sent: %d channel(s) failing",
	subjectExercise: "[EXERCISE] ",

	exercise: "THIS IS AN EXERCISE. No patient is concerned. Please act as you would otherwise.",
	waits:    "An adverse event waits for somebody to acknowledge it.",
	study:    "Study: ", id: "Case: ", state: "State: ", known: "Known since: ", due: "Acknowledge by: ", told: "Sent to: ",
	overdue: " (overdue)",
	rung:    "%s (rung %d of the ladder, attempt %d)",
	states: map[tasks.AdverseEventState]string{
		tasks.StateOpen: "open", tasks.StateNotified: "notified", tasks.StateAcknowledged: "acknowledged", tasks.StateClosed: "closed",
	},

	failing:       "These channels do not work at the moment, so others may not have been told:",
	failingSince:  "%s, since %s: %s",
	failingMore:   "and %d more",
	open:          "Open it and acknowledge it here:",
	desk:          "The safety desk:",
	openSomewhere: "Open it and acknowledge it on the safety desk.",
	footer:        "Sent by casepress. Answers to this mail are read by nobody.",
}

var chinese = language{
	tag:             "zh-CN",
	subjectDue:      "不良事件 %s%s：请于 %s 前确认",
	subjectOverdue:  "不良事件 %s%s：已逾期，截止时间 %s",
	ofStudy:         "（研究 %s）",
	subjectFailing:  "警报%s无法发送：%d 个通知渠道出现故障",
	subjectExercise: "【演练】",

	exercise: "这是一次演练，不涉及任何患者。请按真实情况处理。",
	waits:    "有一起不良事件等待确认。",
	study:    "研究：", id: "事件编号：", state: "状态：", known: "获知时间：", due: "请确认于：", told: "发送对象：",
	overdue: "（已逾期）",
	rung:    "%s（第 %d 级，第 %d 次）",
	states: map[tasks.AdverseEventState]string{
		tasks.StateOpen: "待处理", tasks.StateNotified: "已通知", tasks.StateAcknowledged: "已确认", tasks.StateClosed: "已关闭",
	},

	failing:       "以下通知渠道目前无法使用，其他人员可能未收到通知：",
	failingSince:  "%s，自 %s 起：%s",
	failingMore:   "以及另外 %d 个",
	open:          "请打开以下链接查看并确认：",
	desk:          "安全工作台：",
	openSomewhere: "请在安全工作台中查看并确认。",
	footer:        "本邮件由 casepress 自动发送，请勿回复。",
}
