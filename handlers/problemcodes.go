package handlers

import (
	"net/http"
	"time"
)

// code names a problem for programs. Clients rely on them: never rename one.
type code string

// codeInfo is what every problem of one code has in common.
type codeInfo struct {
	status        int
	retryable     bool // the same request may succeed later
	retryAfter    time.Duration
	title, detail text
}

// codeTable is the one table from codes to answers. define fills it.
var codeTable = map[code]codeInfo{}

// define makes a code.
func define(name code, info codeInfo) code {
	if _, twice := codeTable[name]; twice {
		panic("two problems have the code " + name)
	}
	codeTable[name] = info
	return name
}

// Every code with its answer.
var (
	codeBacklog = define("backlog-too-old", codeInfo{status: http.StatusServiceUnavailable, retryable: true, retryAfter: time.Minute,
		title:  text{"Too much work is waiting", "待处理的报告过多"},
		detail: text{"Accepted reports have waited longer than the limit of %s, so nothing new is taken in. Keep your copy and send it again later.", "已接收的报告等待时间超过了上限 %s，暂不接收新内容。请保留原件，稍后重新发送。"}})
	codeBodyTooLarge = define("body-too-large", codeInfo{status: http.StatusRequestEntityTooLarge,
		title:  text{"Upload too large", "上传内容过大"},
		detail: text{"The body is larger than the limit of %s.", "请求内容超过了上限 %s。"}})
	codeCaseAcknowledged = define("case-acknowledged", codeInfo{status: http.StatusConflict,
		title:  text{"Acknowledged before", "已被确认"},
		detail: text{"%s acknowledged this case before, at %s, as %s. Yours is on the timeline and changes nothing; what you know more can be added as a follow-up.", "%s 已先于您在 %s 确认此事件，结论为 %s。您的确认已记入时间线，但不改变结论；补充信息可作为随访提交。"}})
	codeCaseClosed = define("case-closed", codeInfo{status: http.StatusConflict,
		title:  text{"Closed before", "已被关闭"},
		detail: text{"%s closed this case before, at %s. Yours is on the timeline and changes nothing.", "%s 已先于您在 %s 关闭此事件。您的操作已记入时间线，但不产生变更。"}})
	codeCaseNotAcknowledged = define("case-not-acknowledged", codeInfo{status: http.StatusConflict,
		title:  text{"Not acknowledged yet", "尚未确认"},
		detail: text{"The case %s must be acknowledged by a person before it can be closed.", "事件 %s 须先由人员确认，然后才能关闭。"}})
	codeOriginalIsDuplicate = define("original-is-duplicate", codeInfo{status: http.StatusConflict,
		title:  text{"The other case is a duplicate itself", "所指事件本身为重复事件"},
		detail: text{"At the same moment the case %s was acknowledged as a duplicate itself. Yours is on the timeline and does not count: look at both, and acknowledge this one once more.", "事件 %s 恰在同一时刻也被确认为重复事件。您的确认已记入时间线，但未生效：请查看两起事件，然后重新确认本事件。"}})
	codeTooManySteps = define("too-many-steps", codeInfo{status: http.StatusConflict,
		title:  text{"The timeline is full", "时间线已满"},
		detail: text{"A case has at most %d steps.", "一起事件最多记录 %d 个步骤。"}})
	codeClientClosed = define("client-closed-request", codeInfo{status: http.StatusBadRequest, retryable: true,
		title:  text{"The client closed the connection", "客户端已关闭连接"},
		detail: text{"The connection was closed from the client's side before the answer was ready. Ask again, and keep it open, for sending too, until the answer has come.", "在答复就绪之前，客户端一侧已关闭连接。请重新请求，并在收到答复之前保持连接（包括发送方向）打开。"}})
	codeCrossOrigin = define("cross-origin", codeInfo{status: http.StatusForbidden,
		title:  text{"Cross-origin request refused", "拒绝跨站请求"},
		detail: text{"A page of another site may not send this request from a browser.", "浏览器不能从其他网站的页面发送此请求。"}})
	codeDigestMismatch = define("digest-mismatch", codeInfo{status: http.StatusBadRequest, retryable: true,
		title:  text{"The bytes differ from their digest", "内容与摘要不符"},
		detail: text{"The %s of the received bytes is %s, but %s says %s. They were damaged on the way, or the digest is of something else.", "收到内容的 %s 摘要为 %s，而 %s 声明为 %s。内容在传输中可能已损坏，或摘要并非针对此内容。"}})
	codeDiskFull = define("disk-full", codeInfo{status: http.StatusInsufficientStorage, retryable: true, retryAfter: time.Minute,
		title:  text{"Not enough free disk space", "磁盘空间不足"},
		detail: text{"The server has too little free disk space to take this in. Keep your copy and send it again later.", "服务器磁盘剩余空间不足，无法接收。请保留原件，稍后重新发送。"}})
	codeImageConflict = define("image-id-conflict", codeInfo{status: http.StatusConflict,
		title:  text{"The imageId stands for another image", "该 imageId 已对应其他图片"},
		detail: text{"The imageId %s of this patient already stands for other bytes. An image is never replaced: use another imageId.", "该患者的 imageId %s 已对应其他内容。图片一经保存不可替换，请换用其他 imageId。"}})
	codeImageNotStored = define("image-not-stored", codeInfo{status: http.StatusNotFound,
		title:  text{"No such image", "没有此图片"},
		detail: text{"This patient has no image %s. Put it with PUT /images/{imageId}.", "该患者没有图片 %s，请用 PUT /images/{imageId} 上传。"}})
	codeImageTooLarge = define("image-too-large", codeInfo{status: http.StatusBadRequest,
		title:  text{"Image has too many pixels", "图片像素过多"},
		detail: text{"An image has more pixels than allowed.", "图片像素数超过上限。"}})
	codeIDConflict = define("id-conflict", codeInfo{status: http.StatusConflict,
		title:  text{"The id stands for another submission", "该编号已对应其他提交"},
		detail: text{"The id %s already stands for other content. What is stored never changes: send the new content under a new id.", "编号 %s 已对应其他内容。已保存的内容不会更改，请用新的编号发送新内容。"}})
	codeIncompleteBody = define("incomplete-body", codeInfo{status: http.StatusBadRequest, retryable: true,
		title:  text{"The upload broke off", "上传中断"},
		detail: text{"The body ended before it was complete. Nothing was kept: send it again.", "请求内容在传完之前中断，未保存任何内容，请重新发送。"}})
	codeInternal = define("internal", codeInfo{status: http.StatusInternalServerError, retryable: true,
		title:  text{"Something went wrong here", "服务器内部错误"},
		detail: text{"The server failed to answer this request. Its log has the reason under the request named in \"instance\".", "服务器未能处理此请求，原因已记入日志，可凭 “instance” 中的请求编号查询。"}})
	codeInvalidInput = define("invalid-input", codeInfo{status: http.StatusBadRequest,
		title:  text{"Invalid input", "输入无效"},
		detail: text{"The request is not valid.", "请求无效。"}})
	codeMalformedForm = define("malformed-form", codeInfo{status: http.StatusBadRequest,
		title:  text{"The form cannot be read", "表单无法解析"},
		detail: text{"The body is not well-formed %s: %s.", "请求内容不是格式正确的 %s：%s。"}})
	codeMethodNotAllowed = define("method-not-allowed", codeInfo{status: http.StatusMethodNotAllowed,
		title:  text{"Method not allowed", "不支持该方法"},
		detail: text{"%s is not possible here; possible: %s.", "此地址不支持 %s，可用方法：%s。"}})
	codeNoImage = define("image-not-found", codeInfo{status: http.StatusNotFound,
		title:  text{"No such image", "没有此图片"},
		detail: text{"The case report has no image number %s; it has %d.", "该病例报告没有第 %s 张图片，共有 %d 张。"}})
	codeNoInstrument = define("instrument-not-found", codeInfo{status: http.StatusNotFound,
		title:  text{"No such instrument", "没有此量表"},
		detail: text{"The study has no instrument with this id in this version; GET /instruments lists what there is.", "该研究没有此编号和版本的量表，全部量表见 GET /instruments。"}})
	codeNothingToAmend = define("nothing-to-amend", codeInfo{status: http.StatusConflict,
		title:  text{"Nothing to amend", "没有可修订的内容"},
		detail: text{"There is no response %s that could be amended: send it without \"amends\".", "没有可供修订的答卷 %s：请去掉 “amends” 后发送。"}})
	codeRevisionConflict = define("revision-conflict", codeInfo{status: http.StatusConflict,
		title:  text{"Not the latest revision", "不是最新修订"},
		detail: text{"The latest revision of %s is %d, and this would amend %d. Look at the latest one, and amend that if it is still needed.", "%s 的最新修订为 %d，而此内容要修订的是 %d。请查看最新修订，如仍有必要再对其修订。"}})
	codeNoLane = define("lane-not-found", codeInfo{status: http.StatusNotFound,
		title:  text{"No such lane", "没有此通道"},
		detail: text{"There is no lane of this name; GET /lanes names them.", "没有此名称的通道，全部名称见 GET /lanes。"}})
	codeNoSubmission = define("submission-not-found", codeInfo{status: http.StatusNotFound,
		title:  text{"No such submission", "没有此提交"},
		detail: text{"There is no submission of this kind with this id.", "没有使用该编号的此类提交。"}})
	codeNoOriginal = define("original-not-found", codeInfo{status: http.StatusNotFound,
		title:  text{"No such original", "没有此原始文件"},
		detail: text{"No image with this SHA-256 was ever handed in.", "没有接收过具有此 SHA-256 的图片。"}})
	codeNoPicture = define("image-not-decodable", codeInfo{status: http.StatusNotFound,
		title:  text{"This image could not be decoded", "该图片无法解码"},
		detail: text{"Image %d could not be decoded, so there is no picture of it to show. The original bytes are kept, and the report's problems say why.", "第 %d 张图片无法解码，因此没有可显示的图像。原始文件已保留，原因见报告的 problems。"}})
	codeNoReport = define("report-not-found", codeInfo{status: http.StatusNotFound,
		title:  text{"No such case report", "没有此病例报告"},
		detail: text{"There is no case report with this id.", "没有使用该编号的病例报告。"}})
	codeNoRoute = define("no-such-address", codeInfo{status: http.StatusNotFound,
		title:  text{"Nothing here", "地址不存在"},
		detail: text{"There is nothing at %s. GET /openapi.yaml describes every address.", "%s 不存在。所有地址见 GET /openapi.yaml。"}})
	codeNotAnImage = define("not-an-image", codeInfo{status: http.StatusUnsupportedMediaType,
		title:  text{"Not an image", "不是图片"},
		detail: text{"What was sent as an image is none.", "所发送的内容不是图片。"}})
	codeNotFailed = define("report-not-failed", codeInfo{status: http.StatusConflict,
		title:  text{"Nothing to retry", "无需重试"},
		detail: text{"Only a failed report can be retried; this one is %s.", "只有处理失败的报告才能重试，该报告状态为 %s。"}})
	codeNotReady = define("report-not-ready", codeInfo{status: http.StatusConflict,
		title:  text{"Not ready", "尚未就绪"},
		detail: text{"The case report is %s; this exists once it is completed.", "该病例报告状态为 %s，处理完成后才能获取。"}})
	codeOriginalDropped = define("original-dropped", codeInfo{status: http.StatusGone,
		title:  text{"Original deleted", "原始文件已删除"},
		detail: text{"The server deletes originals once every report with them is completed. The pictures and the PDF made of this one are kept.", "服务器在相关报告全部完成后删除原始文件。由其生成的图像和 PDF 仍然保留。"}})
	codeOutcomeUnknown = define("outcome-unknown", codeInfo{status: http.StatusServiceUnavailable, retryable: true, retryAfter: 5 * time.Second,
		title:  text{"Outcome unknown", "结果未知"},
		detail: text{"Whether it is stored is not known: writing it took too long, or failed. Keep your copy and send the same again, until the answer is another one.", "无法确定是否已保存：写入耗时过长或失败。请保留原件并原样重发，直到收到其他答复。"}})
	codeOverloaded = define("overloaded", codeInfo{status: http.StatusServiceUnavailable, retryable: true, retryAfter: 5 * time.Second,
		title:  text{"Too busy", "系统繁忙"},
		detail: text{"More is coming in than can be recorded right now. Keep your copy and send it again shortly.", "当前提交量超出处理能力。请保留原件，稍后重新发送。"}})
	codePrecondition = define("precondition-failed", codeInfo{status: http.StatusPreconditionFailed,
		title:  text{"Precondition failed", "前提条件不满足"},
		detail: text{"What is stored differs from what If-Match or If-Unmodified-Since asks for.", "所存内容与 If-Match 或 If-Unmodified-Since 的要求不符。"}})
	codeRange = define("range-not-satisfiable", codeInfo{status: http.StatusRequestedRangeNotSatisfiable,
		title:  text{"Range not satisfiable", "范围无效"},
		detail: text{"No byte of the requested range exists; Content-Range tells the size.", "请求的字节范围不存在，大小见 Content-Range。"}})
	codeReportConflict = define("report-id-conflict", codeInfo{status: http.StatusConflict,
		title:  text{"The reportId stands for another report", "该 reportId 已对应其他报告"},
		detail: text{"The reportId %s already stands for a report with other content. What is stored never changes: send the new content under a new reportId.", "reportId %s 已对应内容不同的报告。已保存的内容不会更改，请用新的 reportId 发送新内容。"}})
	codeRowsBehind = define("rows-behind", codeInfo{status: http.StatusServiceUnavailable, retryable: true, retryAfter: 5 * time.Second,
		title:  text{"Not up to date", "数据尚未更新"},
		detail: text{"The server could not bring its tables up to date in time, so it cannot tell yet. What was answered with 2xx is safe; ask again later.", "服务器未能及时完成数据更新，暂时无法答复。已返回 2xx 的内容是安全的，请稍后再查询。"}})
	codeRowsDamaged = define("rows-damaged", codeInfo{status: http.StatusServiceUnavailable, retryable: true, retryAfter: time.Minute,
		title:  text{"The server's tables are damaged", "服务器的数据表已损坏"},
		detail: text{"The server's tables are damaged, so it cannot tell. What was answered with 2xx is safe in its log. Whoever runs the server finds file and cure at /readyz; ask again later.", "服务器的数据表已损坏，暂时无法答复。已返回 2xx 的内容仍安全保存在日志中。服务器管理员可在 /readyz 查看损坏的文件和处理方法；请稍后再查询。"}})
	codeStoredDamaged = define("stored-bytes-damaged", codeInfo{status: http.StatusInternalServerError,
		title:  text{"Damaged on the server's disk", "服务器磁盘上的数据已损坏"},
		detail: text{"The bytes on the server's disk are not those that were stored, so they are not sent. Whoever runs the server finds the file in its log.", "服务器磁盘上的数据与当初保存的内容不一致，因此不予发送。服务器管理员可在日志中查到该文件。"}})
	codeStoredMissing = define("stored-bytes-missing", codeInfo{status: http.StatusInternalServerError,
		title:  text{"Missing on the server's disk", "服务器磁盘上的数据缺失"},
		detail: text{"The file with these bytes is gone from the server's disk, although it was stored and never deleted. Whoever runs the server finds its name in the log.", "保存此内容的文件已不在服务器磁盘上，而服务器从未删除它。服务器管理员可在日志中查到该文件。"}})
	codeStalled = define("upload-stalled", codeInfo{status: http.StatusRequestTimeout, retryable: true,
		title:  text{"The upload stalled", "上传停滞"},
		detail: text{"No byte arrived for %s. Nothing was kept: send it again.", "%s 内未收到任何数据，未保存任何内容，请重新发送。"}})
	codeTimeout = define("timeout", codeInfo{status: http.StatusServiceUnavailable, retryable: true, retryAfter: 5 * time.Second,
		title:  text{"Took too long", "处理超时"},
		detail: text{"The server could not answer in time. Try again.", "服务器未能及时答复，请重试。"}})
	codeTooManyImages = define("too-many-images", codeInfo{status: http.StatusBadRequest,
		title:  text{"Too many images", "图片过多"},
		detail: text{"A case report holds at most %d images.", "一份病例报告最多包含 %d 张图片。"}})
	codePositionLost = define("event-position-lost", codeInfo{status: http.StatusGone,
		title:  text{"These events are not there any more", "这些事件已不存在"},
		detail: text{"There is no event, or another one, at the position %s: events were lost and told again in another order. Begin again with after=%s, and drop those whose id you know.", "位置 %s 处没有事件，或已是其他事件：事件曾丢失，并以其他顺序重新发布。请从 after=%s 重新开始，并忽略 id 已知的事件。"}})
	codeNoEndpoint = define("webhook-endpoint-not-found", codeInfo{status: http.StatusNotFound,
		title:  text{"No such webhook endpoint", "没有此 Webhook 端点"},
		detail: text{"There is no webhook endpoint with this id; GET /webhook-endpoints lists them.", "没有使用该编号的 Webhook 端点，全部端点见 GET /webhook-endpoints。"}})
	codeTooManyEndpoints = define("too-many-webhook-endpoints", codeInfo{status: http.StatusConflict,
		title:  text{"Too many webhook endpoints", "Webhook 端点过多"},
		detail: text{"There are %d webhook endpoints, as many as there may be. Delete one that is not needed any more.", "已有 %d 个 Webhook 端点，达到上限。请删除不再需要的端点。"}})
	codeTooManySecrets = define("too-many-webhook-secrets", codeInfo{status: http.StatusConflict,
		title:  text{"Too many secrets", "密钥过多"},
		detail: text{"%d secrets of this endpoint sign its messages already, as many as there may be. One of them ends 24 hours after it was rotated.", "该端点已有 %d 个密钥同时签名，达到上限。每个旧密钥在轮换 24 小时后失效。"}})
	codeTooManyConnections = define("too-many-connections", codeInfo{status: http.StatusServiceUnavailable, retryable: true, retryAfter: 5 * time.Second,
		title:  text{"Too many connections", "连接过多"},
		detail: text{"%d connections are open and in use, as many as the server takes. Nothing was read from this one: keep your copy and send it again later.", "已有 %d 个连接正在使用，达到服务器的上限。未读取此连接的任何内容：请保留原件，稍后重新发送。"}})
	codeTooManyConnectionsFromAddress = define("too-many-connections-from-address", codeInfo{status: http.StatusServiceUnavailable, retryable: true, retryAfter: 5 * time.Second,
		title:  text{"Too many connections from one address", "同一地址的连接过多"},
		detail: text{"%d connections from your address are open and in use, as many as the server takes from one. Nothing was read from this one: keep your copy and send it again later.", "来自你所在地址的连接已有 %d 个正在使用，达到单个地址的上限。未读取此连接的任何内容：请保留原件，稍后重新发送。"}})
	codeTooManyStreams = define("too-many-streams", codeInfo{status: http.StatusServiceUnavailable, retryable: true, retryAfter: 30 * time.Second,
		title:  text{"Too many streams of events", "事件流过多"},
		detail: text{"%d clients wait for events, as many as the server keeps waiting. Ask for pages, without wait, or come again later.", "已有 %d 个客户端在等待事件，达到服务器的上限。请不带 wait 按页查询，或稍后再来。"}})
	codeTooManyStreamsFromAddress = define("too-many-streams-from-address", codeInfo{status: http.StatusServiceUnavailable, retryable: true, retryAfter: 30 * time.Second,
		title:  text{"Too many streams of events from one address", "同一地址的事件流过多"},
		detail: text{"%d clients from your address wait for events, as many as the server keeps waiting from one. Ask for pages, without wait, or end one of them.", "来自你所在地址的客户端已有 %d 个在等待事件，达到单个地址的上限。请不带 wait 按页查询，或先结束其中之一。"}})
	codeTooManyUploads = define("too-many-uploads", codeInfo{status: http.StatusServiceUnavailable, retryable: true, retryAfter: 5 * time.Second,
		title:  text{"Too many uploads at once", "同时上传过多"},
		detail: text{"%d uploads are under way, as many as the server takes at once. Keep your copy and send it again shortly.", "已有 %d 个上传正在进行，达到服务器的同时上传上限。请保留原件，稍后重新发送。"}})
	codeTooManyFromAddress = define("too-many-uploads-from-address", codeInfo{status: http.StatusServiceUnavailable, retryable: true, retryAfter: 5 * time.Second,
		title:  text{"Too many uploads from one address", "同一地址同时上传过多"},
		detail: text{"%d uploads are under way from your address, as many as the server takes from one. Keep your copy and send it again when one of them is done.", "来自你所在地址的上传已有 %d 个正在进行，达到单个地址的上限。请保留原件，待其中之一完成后重新发送。"}})
	codeTrickle = define("upload-rate-too-low", codeInfo{status: http.StatusRequestTimeout, retryable: true,
		title:  text{"The upload is too slow", "上传速度过慢"},
		detail: text{"Less than %s a second arrived for %s. Nothing was kept: send it again over a better connection.", "每秒收到的数据不足 %s，已持续 %s，未保存任何内容。请在网络较好时重新发送。"}})
	codeTooSlow = define("upload-too-slow", codeInfo{status: http.StatusRequestTimeout, retryable: true,
		title:  text{"The upload took too long", "上传耗时过长"},
		detail: text{"The upload was not complete after %s. Nothing was kept: send it again, over a faster connection or in smaller parts with PUT /images/{imageId}.", "上传超过 %s 仍未完成，未保存任何内容。请改用更快的网络，或用 PUT /images/{imageId} 逐张上传。"}})
	codeUnavailable = define("unavailable", codeInfo{status: http.StatusServiceUnavailable, retryable: true, retryAfter: 10 * time.Second,
		title:  text{"Cannot store at the moment", "暂时无法保存"},
		detail: text{"The server cannot write right now. Keep your copy and send it again later, with the same reportId if there is one.", "服务器目前无法写入。请保留原件，稍后重新发送；如有 reportId，请使用同一个。"}})
	codeUnknownHost = define("unknown-host", codeInfo{status: http.StatusMisdirectedRequest,
		title:  text{"Unknown host name", "未知的主机名"},
		detail: text{"This server is not known by the name %s. Whoever runs it can allow the name with --hosts %s.", "此服务器不认识主机名 %s。服务器管理员可通过 --hosts %s 允许该名称。"}})
	codeUnready = define("not-ready", codeInfo{status: http.StatusServiceUnavailable, retryable: true, retryAfter: 10 * time.Second,
		title:  text{"Not ready", "服务未就绪"},
		detail: text{"The service cannot take work right now.", "服务目前无法接收任务。"}})
	codeUnsupportedType = define("unsupported-media-type", codeInfo{status: http.StatusUnsupportedMediaType,
		title:  text{"Unsupported media type", "不支持的内容类型"},
		detail: text{"%s is not understood here; send %s.", "此处不支持 %s，请发送 %s。"}})
)
