import java.io.File;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.FetchApi;
import org.openapitools.client.api.FollowApi;
import org.openapitools.client.api.HandInApi;
import org.openapitools.client.model.CaseReport;
import org.openapitools.client.model.Status;

/** The client that openapi-generator makes for Java with its library okhttp-gson. */
class Generated {
    public static void main(String[] args) throws Exception {
        // The default read timeout of OkHttp, 10 s, is shorter than the wait for a report.
        ApiClient client = new ApiClient().setBasePath(HandedIn.URL).setReadTimeout(70_000);
        HandInApi handIn = new HandInApi(client);
        String patient = "P-java";
        String capturedAt = "2026-11-21T19:58:00+08:00";

        for (int i = 0; i < 2; i++) {
            File drawing = HandedIn.DRAWINGS.get(i);
            var image = handIn.putImage("IMG" + i, patient, drawing, null, null, null, null, null);
            HandedIn.check(image.getSha256().equals(HandedIn.sha256(drawing)), "put: another digest");
            HandedIn.storedImage(image.getPatientId(), image.getImageId(), image.getSha256());
        }
        List<String> want = new ArrayList<>(), got = new ArrayList<>();
        for (File photo : HandedIn.PHOTOS) want.add(HandedIn.sha256(photo));
        var accepted = handIn.uploadCaseReport(patient, null, null, null, null, null, null, null, null, HandedIn.NOTES, capturedAt,
            HandedIn.PHOTOS, null, "generated-java");
        for (var image : accepted.getImages()) got.add(image.getSha256());
        HandedIn.storedReport(accepted.getId(), accepted.getReceipt().getSha256(), got);
        HandedIn.check(got.equals(want), got);

        CaseReport report = new FollowApi(client).getCaseReport(accepted.getId(), "60s", null, null, null);
        HandedIn.check(report.getStatus() == Status.COMPLETED && report.getNotes().equals(HandedIn.NOTES) && report.getCapturedAt().equals(capturedAt)
            && report.getProblems().isEmpty(), report);
        File pdf = new FetchApi(client).getReportPDF(accepted.getId(), null, null, null, null);
        HandedIn.checkPDF(Files.readAllBytes(pdf.toPath()), report.getReport().getBytes(), report.getReport().getSha256());
        HandedIn.check(pdf.delete(), "the PDF's file stays");

        // In a form with files this library sends a list of texts as one JSON array for each of them. That
        // cannot be read safely: it is refused with what would be right.
        try {
            handIn.uploadCaseReport(patient, null, null, null, null, null, null, null, null, null, null, HandedIn.PHOTOS, List.of("IMG0", "IMG1"), null);
            throw new AssertionError("a list in JSON was taken");
        } catch (ApiException refused) {
            HandedIn.check(refused.getCode() == 400 && refused.getResponseBody().contains("JSON string"), refused);
        }
    }
}
