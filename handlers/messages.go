package handlers

import "casepress/tasks"

// What can be wrong with a field. The first argument is always the field.
var (
	textMissing         = text{"%s is missing", "缺少 %s"}
	textMissingImages   = text{"at least one image is missing: send files as %s, or name images put earlier as imageId", "缺少图片：请以 %s 上传文件，或以 imageId 引用已上传的图片"}
	textEmpty           = text{"%s is empty", "%s 为空"}
	textRepeated        = text{"%s is given more than once", "%s 重复出现"}
	textUnknownField    = text{"%s is not a known field; known are %s", "未知字段 %s，可用字段：%s"}
	textUnknownToo      = text{"%s is not a known field", "未知字段 %s"}
	textUnknownParam    = text{"%s is not a known query parameter; known are %s", "未知查询参数 %s，可用参数：%s"}
	textEmptyParam      = text{"%s is empty: give it a value or leave it out", "%s 为空：请填写值，或省略该参数"}
	textMalformedQuery  = text{"%s: the part of the address after ? is malformed; write name=value&name=value and percent-encode everything but letters, digits, - . _ ~", "%s：网址中 ? 之后的部分格式不正确；请写成 name=value&name=value，并对字母、数字和 - . _ ~ 以外的字符进行百分号编码"}
	textQueryString     = text{"%s: fields belong in the body, because addresses end up in logs", "%s：字段应放在请求体中，因为网址会被写入日志"}
	textIDCharset       = text{"%s must be 1 to 64 of the characters A-Z a-z 0-9 . _ -", "%s 须为 1 至 64 个字符，只能使用 A-Z a-z 0-9 . _ -"}
	textNoParts         = text{"%s must not be there: send the whole, not a part", "不能带 %s：请发送完整内容，而非其中一部分"}
	textIDDots          = text{"%s must not be \".\" or \"..\"", "%s 不能是 “.” 或 “..”"}
	textIDReserved      = text{"%s: an imageId that begins with \"sha256-\" must go on with the first 32 hex digits of the image's SHA-256", "%s：以 “sha256-” 开头的 imageId 后面必须是图片 SHA-256 的前 32 位十六进制数"}
	textIDsDiffer       = text{"%s and the header Idempotency-Key are the same thing, but differ here", "%s 与请求头 Idempotency-Key 含义相同，但两者的值不一致"}
	textNotUTF8         = text{"%s is not valid UTF-8", "%s 不是有效的 UTF-8"}
	textCharset         = text{"%s is declared as %s; send UTF-8", "%s 声明的字符集为 %s，请使用 UTF-8"}
	textEncoding        = text{"%s has Content-Transfer-Encoding %s; send it as it is", "%s 使用了 Content-Transfer-Encoding %s，请直接发送原始内容"}
	textControl         = text{"%s contains the control character U+%04X; only line breaks and tabs are allowed", "%s 含有控制字符 U+%04X，只允许换行和制表符"}
	textTooLong         = text{"%s is longer than %s characters", "%s 超过 %s 个字符"}
	textNotTime         = text{"%s must be a time with a zone as in RFC 3339, like 2026-11-21T20:00:00+08:00", "%s 须为带时区的 RFC 3339 时间，例如 2026-11-21T20:00:00+08:00"}
	textTimeYear        = text{"%s must be in a year from 0001 to 9999, in UTC too", "%s 的年份须在 0001 至 9999 之间，换算为 UTC 后亦然"}
	textTimeZone        = text{"%s must be in a zone up to 14:00 from UTC", "%s 的时区与 UTC 相差不得超过 14:00"}
	textNeedsMultipart  = text{"%s: files need multipart/form-data", "%s：上传文件须使用 multipart/form-data"}
	textBrackets        = text{"%s: send this field as %s, without brackets", "%s：请以 %s 作为字段名，不加方括号"}
	textPartType        = text{"%s has the Content-Type %s, which is malformed; leave it out or send text/plain", "%s 的 Content-Type %s 格式不正确；请省略或使用 text/plain"}
	textNotJSONString   = text{"%s is sent as application/json but is not one JSON string; send it as text/plain", "%s 以 application/json 发送，但不是单个 JSON 字符串；请以 text/plain 发送"}
	textBadDisposition  = text{"%s: its Content-Disposition cannot be read; write form-data; name=\"…\"; filename=\"…\", with a quote in a name as %%22", "%s：无法解析其 Content-Disposition；请写成 form-data; name=\"…\"; filename=\"…\"，名称中的引号写作 %%22"}
	textNoPartName      = text{"%s has no name: each part needs Content-Disposition: form-data; name=\"…\"", "%s 没有名称：每一部分都需要 Content-Disposition: form-data; name=\"…\""}
	textLongPartHeader  = text{"%s: its header is longer than 16 KiB", "%s：其头部超过 16 KiB"}
	textBadPartHeader   = text{"%s: its header cannot be read", "%s：无法解析其头部"}
	textPartHeaderTwice = text{"%s: its header has %s more than once", "%s：其头部多次出现 %s"}
	textEmptyImage      = text{"%s is empty (0 bytes)", "%s 为空（0 字节）"}
	textNotAnImage      = text{"%s is not an image of a known format (JPEG, PNG, GIF, HEIC, AVIF, WebP, TIFF, BMP), whatever its name says", "%s 不是可识别的图片格式（JPEG、PNG、GIF、HEIC、AVIF、WebP、TIFF、BMP）；判断依据是内容而非文件名"}
	textNoFileName      = text{"%s has no file name and is not an image: a file is sent with its name, with curl as -F images=@photo.jpg", "%s 没有文件名，内容也不是图片：上传文件须带文件名，使用 curl 时写作 -F images=@photo.jpg"}
	textTooManyPixels   = text{"%s has %d x %d pixels; the limit is %s pixels", "%s 为 %d x %d 像素，超过了 %s 像素的上限"}
	textUnknownImage    = text{"%s: this patient has no image %s; put it first with PUT /images/{imageId}", "%s：该患者没有图片 %s，请先用 PUT /images/{imageId} 上传"}
	textDroppedImage    = text{"%s: the original of image %s was deleted after its report was completed; send its bytes again", "%s：图片 %s 的原始文件已在其报告完成后删除，请重新上传"}
	textBadDigest       = text{"%s must look like sha-256=:BASE64: (RFC 9530)", "%s 的格式须为 sha-256=:BASE64:（RFC 9530）"}
	textNoDigest        = text{"%s has no digest that is verified here: send sha-256 or sha-512", "%s 中没有可验证的摘要，请发送 sha-256 或 sha-512"}
	textDigestTrailer   = text{"%s is announced as a trailer; send it as a header", "%s 被声明为尾部字段，请作为请求头发送"}
	textBadCursor       = text{"%s is not one that an earlier page returned", "%s 不是先前页面返回的值"}
	textBadLimit        = text{"%s must be a number from 1 to %d", "%s 须为 1 至 %d 之间的数字"}
	textBadChoice       = text{"%s must be one of %s", "%s 只能是 %s 之一"}
	textReason          = text{"%s: %s", "%s：%s"}
	textDraining        = text{"%s: shutting down", "%s：正在关闭"}
	textUnknownSite     = text{"%s: %s is not a site of the study %s; it has %s", "%s：%s 不是研究 %s 的研究中心，该研究的研究中心：%s"}
	textBadWorkers      = text{"%s must be a number from 1 to %d, as {\"workers\": 2}", "%s 须为 1 至 %d 之间的数字，例如 {\"workers\": 2}"}
	textAmendsOther     = text{"%s: an amendment belongs to what it amends, which says \"%s\"", "%s：修订须与其所修订的内容一致，原内容为 “%s”"}
	textHTTP11          = text{"%s cannot tell whether all of this has come: use HTTP/1.1 or later", "%s 无法判断内容是否完整，请使用 HTTP/1.1 或更高版本"}
	textBatchEntries    = text{"%s has %d entries; it must have 1 to %d, one a line", "%s 有 %d 条，须为 1 至 %d 条，每行一条"}
	textBadStates       = text{"%s must be one or more of %s, separated by commas, each once", "%s 须为 %s 中的一个或多个，以逗号分隔，不得重复"}
	textNoSuchCase      = text{"%s: there is no adverse event %s", "%s：没有不良事件 %s"}
	textOtherStudy      = text{"%s: the adverse event %s is of another study", "%s：不良事件 %s 属于另一项研究"}
	textOtherPatient    = text{"%s: the adverse event %s is of the patient %s, and this one of %s; a duplicate is the same event of the same patient: name a case of this patient, or decide otherwise", "%s：不良事件 %s 属于患者 %s，而本事件属于患者 %s；重复事件须为同一患者的同一事件，请填写该患者的事件，或作出其他判定"}
	textIsExercise      = text{"%s: the adverse event %s is an exercise, and this one is not; name a case that is no exercise, or decide otherwise", "%s：不良事件 %s 是演练，而本事件不是；请填写非演练的事件，或作出其他判定"}
	textNoExercise      = text{"%s: the adverse event %s is no exercise, and this one is; name an exercise, or decide otherwise", "%s：不良事件 %s 不是演练，而本事件是演练；请填写演练事件，或作出其他判定"}
	textIsDuplicate     = text{"%s: the adverse event %s is itself a duplicate; name %s", "%s：不良事件 %s 本身也是重复事件，请填写 %s"}
	textBadRevision     = text{"%s must be the number of a revision, from 1", "%s 须为修订号，从 1 开始"}
	textFHIRID          = text{"%s must be 1 to 64 of the characters A-Z a-z 0-9 . -, but neither \".\" nor \"..\"; best a UUID", "%s 须为 1 至 64 个字符，只能使用 A-Z a-z 0-9 . -，且不能是 “.” 或 “..”；最好使用 UUID"}
	textNoWording       = text{"%s: this instrument has no wording here; leave the parameter out", "%s：此量表在此没有题目文字，请省略该参数"}
	textBadPosition     = text{"%s must be 0, a sequence, or the next of an earlier page", "%s 须为 0、事件序号或先前页面的 next"}
	textBadAfter        = text{"%s must be 0, latest, a sequence, or the next of an earlier page", "%s 须为 0、latest、事件序号或先前页面的 next"}
	textBeyondNewest    = text{"%s: %s lies beyond the newest event, %s; take the next of an earlier page, or a sequence up to that", "%s：%s 超出最新事件 %s；请使用先前页面的 next，或不大于它的序号"}
	textBeyondPosition  = text{"%s must not lie beyond the endpoint's position, %s: the events between would never be sent", "%s 不得超过该端点的 position %s，否则其间的事件永远不会发送"}
	textBadTypes        = text{"%s must be types of events, with commas between them; there are %s", "%s 须为以逗号分隔的事件类型，可用类型：%s"}
	textBadWait         = text{"%s must be a duration like 20s", "%s 须为时长，例如 20s"}
)

// Why a form cannot be read. These follow the name of its media type and a colon.
var (
	textBadEscape         = text{"an escape is not a percent sign and two hex digits", "转义序列不是百分号加两位十六进制数"}
	textNoBoundary        = text{"Content-Type has no boundary. Let your HTTP library set this header; in Postman, delete the Content-Type that was typed in", "Content-Type 缺少 boundary。请让 HTTP 库自动设置该请求头；在 Postman 中请删除手动填写的 Content-Type"}
	textOtherBoundary     = text{"the boundary that Content-Type names does not occur where the first part should begin", "正文开头没有出现 Content-Type 中声明的 boundary"}
	textNoClosingBoundary = text{"the body is complete but ends without the closing boundary, -- before and after it", "正文已完整接收，但结尾缺少前后都带 -- 的 boundary"}
)

// What the problem of a code says where its own words are for case reports or for what cannot be amended.
var (
	textNotFailed        = text{"Only a failed submission can be retried; this one is %s.", "只有处理失败的提交才能重试，该提交状态为 %s。"}
	textReportUnknown    = text{"Whether it is stored is not known: writing it took too long, or failed. Keep your copy and send the same again with reportId %s until the answer is another one: that is the truth, and nothing is ever stored twice.", "无法确定是否已保存：写入耗时过长或失败。请保留原件，并以同一 reportId %s 原样重发，直到收到其他答复；结果以该答复为准，内容不会重复保存。"}
	textDocumentUnknown  = text{"Whether it is stored is not known: writing it took too long, or failed. Keep your copy and send the same again with the id %s until the answer is another one: that is the truth, and nothing is ever stored twice.", "无法确定是否已保存：写入耗时过长或失败。请保留原件，并以同一编号 %s 原样重发，直到收到其他答复；结果以该答复为准，内容不会重复保存。"}
	textImageUnknown     = text{"Whether it is stored is not known: writing it took too long, or failed. Keep your copy and put the same again under the same imageId until the answer is another one: that is the truth, and nothing is ever stored twice.", "无法确定是否已保存：写入耗时过长或失败。请保留原件，并以同一 imageId 原样重发，直到收到其他答复；结果以该答复为准，内容不会重复保存。"}
	textNoRescore        = text{"The study %s has no instrument %s in version %s.", "研究 %s 没有量表 %s 的版本 %s。"}
	textNoRescoreUnnamed = text{"The study without a name has no instrument %s in version %s; name the study with --study (in the body: \"study\").", "未命名的研究没有量表 %s 的版本 %s；请用 --study（正文中为 “study”）指定研究。"}
	textResponseConflict = text{"The id %s already stands for other answers, and what is stored never changes. If these correct them, send them under the same id as an amendment, with \"amends\"; only another response gets an id of its own.", "编号 %s 已对应其他答案，已保存的内容不会更改。若要更正，请用同一编号以修订（“amends”）发送；只有另一份答卷才使用新的编号。"}
	textShareFromAddress = text{"The uploads under way from your address would take more than %s, the share of the free disk that one address may have at once. Keep your copy and send it again when one of them is done.", "来自你所在地址的上传合计将超过 %s，即单个地址可同时占用的可用磁盘份额。请保留原件，待其中之一完成后重新发送。"}
	textGaveWay          = text{"This upload was slow, and others needed its room. Nothing was kept: send it again.", "此上传较慢，已让位于其他请求，未保存任何内容。请重新发送。"}
)

// What the problem of a code says of adverse events.
var (
	textAdverseEventConflict = text{"The id %s already stands for an adverse event with other content, and what is stored never changes. What became known later is a follow-up of it; only another event gets an id of its own.", "编号 %s 已对应内容不同的不良事件，已保存的内容不会更改。后续获知的信息请作为随访提交；只有另一起事件才使用新的编号。"}
	textWebhookUnknown       = text{"Whether it is stored is not known: writing it took too long, or failed. Look how the webhook endpoint %s stands: if it is new and you were not told its secret, delete it; then do what is missing once more.", "无法确定是否已保存：写入耗时过长或失败。请查看 Webhook 端点 %s 的当前状态：若为新建且您未收到其密钥，请将其删除；然后重新执行尚未完成的操作。"}
	textStepUnknown          = text{"Whether it is stored is not known: writing it took too long, or failed. Send the same again until the answer is another one: that is the truth, and nothing is ever stored twice. A follow-up needs its id for that.", "无法确定是否已保存：写入耗时过长或失败。请原样重发，直到收到其他答复；结果以该答复为准，内容不会重复保存。随访重发时须使用相同的编号。"}
)

// What a 404 says of the kinds that share a code.
var (
	textNoAdverseEvent = text{"There is no adverse event with this id.", "没有使用该编号的不良事件。"}
	textNoResponse     = text{"There is no questionnaire response with this id.", "没有使用该编号的问卷答卷。"}
)

// What a success says.
var (
	textAdverseEventHandedOver = text{"The adverse event is stored, and is at the desk.", "不良事件已安全保存，并已送达安全工作台。"}
	textAdverseEventQueued     = text{"The adverse event is stored and waits to be taken over. Ask statusUrl how it stands.", "不良事件已安全保存，正在排队等待处理。可通过 statusUrl 查询进展。"}
	textAccepted               = text{"The case report is stored and will be processed. Ask statusUrl how it goes.", "病例报告已安全保存，即将处理。可通过 statusUrl 查询进度。"}
	textReplayed               = text{"This case report was stored before; nothing changed.", "该病例报告先前已保存，内容未变。"}
	textDocumentAccepted       = text{"It is stored and will be processed. Ask statusUrl how it goes.", "已安全保存，即将处理。可通过 statusUrl 查询进度。"}
	textResponseAccepted       = text{"The answers are stored and will be scored. Ask statusUrl how it goes.", "答案已安全保存，即将计分。可通过 statusUrl 查询进度。"}
	textFHIRAccepted           = text{"The answers are stored and will be scored.", "答案已安全保存，即将计分。"}
	textDocumentReplayed       = text{"It was stored before; nothing changed.", "先前已保存，内容未变。"}
	textDocumentRetrying       = text{"It will be processed again.", "将重新处理。"}
	textRetrying               = text{"The case report will be processed again.", "病例报告将重新处理。"}
)

// Statuses as people say them.
var statusTexts = map[tasks.Status]text{
	tasks.Accepted:   {"accepted", "已接收"},
	tasks.Processing: {"processing", "处理中"},
	tasks.Retrying:   {"retrying", "等待重试"},
	tasks.Completed:  {"completed", "已完成"},
	tasks.Failed:     {"failed", "处理失败"},
}
