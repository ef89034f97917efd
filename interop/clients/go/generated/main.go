// The client that openapi-generator makes for Go; run.sh puts it at clients/openapi.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"clients/files"
	"clients/openapi"
)

func main() {
	ctx := context.Background()
	configuration := openapi.NewConfiguration()
	configuration.Servers = openapi.ServerConfigurations{{URL: files.URL}}
	client := openapi.NewAPIClient(configuration)
	const patient, capturedAt = "P-go", "2026-11-21T19:58:00+08:00"

	for i, path := range files.Drawings {
		image, _, err := client.HandInAPI.PutImage(ctx, fmt.Sprintf("IMG%d", i)).PatientId(patient).Body(files.Must(os.Open(path))).Execute()
		files.Check(err == nil, "put: %v", err)
		files.Check(image.Sha256 == files.Digest(files.Read(path)), "put: another digest")
		files.StoredImage(image.PatientId, image.ImageId, image.Sha256)
	}
	var photos []*os.File
	var want, got []string
	for _, path := range files.Photos {
		photos = append(photos, files.Must(os.Open(path)))
	}
	// The generated form has its files last.
	for _, path := range slices.Concat(files.Drawings, files.Photos) {
		want = append(want, files.Digest(files.Read(path)))
	}
	accepted, _, err := client.HandInAPI.UploadCaseReport(ctx).PatientId(patient).ReportId("generated-go").Notes(files.Notes).CapturedAt(capturedAt).
		Images(photos).ImageId([]string{"IMG0", "IMG1"}).Execute()
	files.Check(err == nil, "upload: %v", err)
	for _, image := range accepted.Images {
		got = append(got, image.Sha256)
	}
	files.StoredReport(accepted.Id, accepted.Receipt.Sha256, got)
	files.Check(slices.Equal(got, want), "images %v, not %v", got, want)

	report, _, err := client.FollowAPI.GetCaseReport(ctx, accepted.Id).Wait("60s").Execute()
	files.Check(err == nil, "poll: %v", err)
	files.Check(report.Status == openapi.COMPLETED && report.GetNotes() == files.Notes && report.GetCapturedAt() == capturedAt && len(report.Problems) == 0, "report %+v", report)
	file, _, err := client.FetchAPI.GetReportPDF(ctx, accepted.Id).Execute()
	files.Check(err == nil, "PDF: %v", err)
	document := report.Report.Get()
	files.CheckPDF(files.Must(io.ReadAll(file)), int64(document.Bytes), document.Sha256)
	files.Check(os.Remove(file.Name()) == nil, "the PDF's file stays")
}
