package pdf

import (
	"fmt"
	"strconv"
	"strings"
)

// labels are the PDF's own words in one language. report is the word before the case report's id.
type labels struct {
	tag                                                     string // BCP 47
	title, report, patient, visit, study, site              string
	captured, received, status, contents, sequence, receipt string
	notes, images                                           string
	number, image, taken, original, originalPixels, size    string
	shownAt, digest, noZone                                 string
	accepted, notShown, damaged                             string
	cannotBeShown, unshaped, listGap                        string
	statuses                                                map[string]string
	imageOf                                                 func(i, n int) string
	pageOf                                                  func(i, n int) string
	count                                                   func(images, notShown, damaged, remarked int) string // an image is in one of the last three at most
	bookmark                                                func(i int) string
	codePoints                                              func(listed string, more int) string
}

var english = labels{
	tag:   "en",
	title: "Case report", report: "Report", patient: "Patient", visit: "Visit", study: "Study", site: "Site",
	captured: "Captured, as the sender wrote it", received: "Received", status: "Status", contents: "Images",
	sequence: "Place in the log", receipt: "Receipt: SHA-256 of what was accepted",
	notes: "Notes", images: "Images",
	number: "No.", image: "Image and file name", taken: "Captured", original: "Original", originalPixels: "Original, px", size: "Size",
	shownAt: "Shown at", digest: "SHA-256 of the original", noZone: " (zone unknown)",
	accepted: "Accepted and stored", notShown: "Not shown", damaged: "Damaged",
	cannotBeShown: "This image cannot be shown", listGap: ", ",
	unshaped: "Some text is in a script whose letters should join (Devanagari); they are printed one by one, in the order of the text.",
	codePoints: func(listed string, more int) string {
		if more > 0 {
			listed += fmt.Sprintf(" and %d more", more)
		}
		return "Some characters cannot be shown by the report's typefaces and are printed as their code points: " + listed + "."
	},
	statuses: map[string]string{
		"accepted": "Accepted and stored", "processing": "Processing", "retrying": "Retrying", "completed": "Completed", "failed": "Failed",
	},
	imageOf:  func(i, n int) string { return fmt.Sprintf("Image %d of %d", i, n) },
	pageOf:   func(i, n int) string { return fmt.Sprintf("page %d of %d", i, n) },
	bookmark: func(i int) string { return fmt.Sprintf("Image %d", i) },
	count: func(images, notShown, damaged, remarked int) string {
		s := strconv.Itoa(images) + " images"
		if images == 1 {
			s = "1 image"
		}
		if notShown > 0 {
			s += fmt.Sprintf(", %d not shown", notShown)
		}
		if damaged > 0 {
			s += fmt.Sprintf(", %d damaged", damaged)
		}
		if remarked == 1 {
			s += ", 1 with a remark"
		} else if remarked > 1 {
			s += fmt.Sprintf(", %d with remarks", remarked)
		}
		return s
	},
}

var chineseLabels = labels{
	tag:   "zh-CN",
	title: "病例报告", report: "报告", patient: "患者", visit: "访视", study: "研究", site: "研究中心",
	captured: "采集时间（发送方原文）", received: "接收时间", status: "状态", contents: "图像数量",
	sequence: "日志位置", receipt: "回执：所接收内容的 SHA-256",
	notes: "备注", images: "图像",
	number: "序号", image: "图像与文件名", taken: "拍摄时间", original: "原图", originalPixels: "原图像素", size: "大小",
	shownAt: "显示尺寸", digest: "原图的 SHA-256", noZone: "（时区未知）",
	accepted: "已接收并保存", notShown: "未显示", damaged: "有损坏",
	cannotBeShown: "此图像无法显示", listGap: "、",
	unshaped: "部分文字的字母应当连写（天城文），此处按原文顺序逐个显示。",
	codePoints: func(listed string, more int) string {
		if more > 0 {
			listed += fmt.Sprintf("，另有 %d 个", more)
		}
		return "部分字符无法用报告的字体显示，以字符编码代替：" + listed + "。"
	},
	statuses: map[string]string{
		"accepted": "已接收并保存", "processing": "处理中", "retrying": "重试中", "completed": "已完成", "failed": "失败",
	},
	imageOf:  func(i, n int) string { return fmt.Sprintf("图像 %d / %d", i, n) },
	pageOf:   func(i, n int) string { return fmt.Sprintf("第 %d 页，共 %d 页", i, n) },
	bookmark: func(i int) string { return fmt.Sprintf("图像 %d", i) },
	count: func(images, notShown, damaged, remarked int) string {
		s := fmt.Sprintf("%d 幅", images)
		if notShown > 0 {
			s += fmt.Sprintf("，%d 幅未显示", notShown)
		}
		if damaged > 0 {
			s += fmt.Sprintf("，%d 幅有损坏", damaged)
		}
		if remarked > 0 {
			s += fmt.Sprintf("，%d 幅有说明", remarked)
		}
		return s
	},
}

func (o Options) labels() *labels {
	if o.Language == Chinese {
		return &chineseLabels
	}
	return &english
}

// statusOf returns a status in words.
func (l *labels) statusOf(status string) string {
	if status == "" {
		return l.accepted
	}
	if s, ok := l.statuses[strings.ToLower(status)]; ok {
		return s
	}
	return status
}
