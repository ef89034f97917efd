import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.instance.model.api.IBaseResource;
import org.hl7.fhir.r4.model.Questionnaire;

/**
 * Validates every resource in the folders that it is given with HAPI's validator and the definitions of R4 that come
 * with it, and each QuestionnaireResponse by its Questionnaire, which must be there. An error fails, and so does a
 * warning that is not in the list below. Then it spoils some of the resources and fails if the validator takes them.
 */
class Validate {
    /** Warnings that are no fault, and why. */
    static final Pattern KNOWN = Pattern.compile(String.join("|",
        // no terminology server is asked, and the lists of LOINC and SNOMED CT are not here; ours are the definition's
        "CodeSystem is unknown and can't be validated: (http://loinc\\.org|http://snomed\\.info/sct|http://ncicb\\.nci\\.nih\\.gov/xml/owl/EVS/Thesaurus\\.owl|urn:casepress:[^ ]+) for .*",
        "The code cannot be checked because codeSystem '(http://loinc\\.org|http://snomed\\.info/sct)' .*",
        // the bands of an instrument are no "high" or "low" of a laboratory
        "None of the codings provided are in the value set 'Observation Interpretation Codes' .*",
        // LOINC itself gives {score} as the unit of the totals
        "UCUM Codes that contain human readable annotations like \\{score\\} .*",
        // casepress writes no HTML into resources
        "Constraint failed: dom-6: .*"), Pattern.DOTALL);

    /** What is spoilt: the file, what is replaced, and by what. */
    static final String[][] SPOILS = {
        {"Questionnaire-phq-9-.json", "\"status\": \"active\"", "\"status\": \"lively\""},
        {"Questionnaire-phq-9-.json", "\"type\": \"display\"", "\"type\": \"display\", \"required\": true"},
        {"Questionnaire-phq-9-.json", "\"linkId\": \"/44255-8\"", "\"linkId\": \"/44250-9\""},
        {"QuestionnaireResponse-phq-9-0.json", "\"linkId\": \"/44255-8\"", "\"linkId\": \"/44255-9\""},
        {"QuestionnaireResponse-phq-9-0.json", "\"code\": \"LA65", "\"code\": \"LA75"},
        {"QuestionnaireResponse-phq-9-0.json", "valueCoding", "valueQuantity"},
        {"QuestionnaireResponse-phq-9-0.json", "\"authored\": \"2026-", "\"authored\": \"26-"},
        {"Observations-phq-9-0.json", "\"status\": \"final\"", "\"status\": \"certain\""},
        {"Observations-phq-9-0.json", "\"valueQuantity\"", "\"dataAbsentReason\": {\"text\": \"none\"}, \"valueQuantity\""},
        {"AdverseEvent-reported.json", "\"actuality\": \"actual\"", "\"actuality\": \"likely\""},
        {"AdverseEvent-reported.json", "\"subject\"", "\"patient\""},
        {"AdverseEvent-reported.json", "\"detected\": \"2026-", "\"detected\": \"26-"},
        {"CapabilityStatement.json", "\"fhirVersion\": \"4.0.1\"", "\"fhirVersion\": \"four\""},
        {"OperationOutcome-409.json", "\"severity\": \"error\",", ""},
    };

    static final FhirContext CONTEXT = FhirContext.forR4();

    /** The Questionnaires that are validated, for the responses to them. */
    static class Forms implements IValidationSupport {
        final Map<String, Questionnaire> forms = new HashMap<>();

        void add(Questionnaire q) {
            forms.put(q.getUrl(), q);
            forms.put(q.getUrl() + "|" + q.getVersion(), q);
        }

        @Override
        public FhirContext getFhirContext() {
            return CONTEXT;
        }

        @Override
        public <T extends IBaseResource> T fetchResource(Class<T> type, String url) {
            Questionnaire q = forms.get(url);
            return type.isInstance(q) ? type.cast(q) : null;
        }

        @Override
        public String getName() {
            return "Questionnaires";
        }
    }

    static FhirValidator validator;

    /** What the validator has against a resource; it counts warnings that are known. */
    static List<String> against(String resource, Map<String, Integer> known) {
        List<String> bad = new ArrayList<>();
        for (SingleValidationMessage m : validator.validateWithResult(resource).getMessages()) {
            if (m.getSeverity() == ResultSeverityEnum.INFORMATION) continue;
            if (m.getSeverity() == ResultSeverityEnum.WARNING && KNOWN.matcher(m.getMessage()).matches()) {
                known.merge(m.getMessage().substring(0, 40), 1, Integer::sum);
                continue;
            }
            bad.add(m.getSeverity() + " at " + m.getLocationString() + ": " + m.getMessage());
        }
        return bad;
    }

    public static void main(String[] folders) throws Exception {
        Map<String, String> resources = new TreeMap<>();
        for (String folder : folders) {
            try (Stream<Path> all = Files.list(Path.of(folder))) {
                for (Path file : all.filter(p -> p.toString().endsWith(".json")).toList()) {
                    resources.put(file.getFileName().toString(), Files.readString(file));
                }
            }
        }
        Forms forms = new Forms();
        resources.forEach((name, text) -> {
            if (name.startsWith("Questionnaire-")) forms.add(CONTEXT.newJsonParser().parseResource(Questionnaire.class, text));
        });
        validator = CONTEXT.newValidator();
        validator.registerValidatorModule(new FhirInstanceValidator(new ValidationSupportChain(forms, new DefaultProfileValidationSupport(CONTEXT),
            new CommonCodeSystemsTerminologyService(CONTEXT), new InMemoryTerminologyServerValidationSupport(CONTEXT))));

        int failed = 0;
        Map<String, Integer> known = new TreeMap<>();
        for (Map.Entry<String, String> e : resources.entrySet()) {
            List<String> bad = against(e.getValue(), known);
            if (bad.isEmpty()) continue;
            failed++;
            System.out.println(e.getKey());
            bad.forEach(b -> System.out.println("  " + b));
        }
        known.forEach((text, n) -> System.out.println("known warning, " + n + " times: " + text + "…"));

        int taken = 0;
        for (String[] s : SPOILS) {
            String whole = resources.getOrDefault(s[0], "");
            String spoilt = whole.replaceFirst(Pattern.quote(s[1]), Matcher.quoteReplacement(s[2]));
            if (spoilt.equals(whole)) throw new IllegalStateException(s[0] + " has no " + s[1]);
            if (!against(spoilt, known).isEmpty()) continue;
            taken++;
            System.out.println(s[0] + " with " + s[2] + " in place of " + s[1] + " is taken");
        }
        System.out.printf("%d resources, %d of them refused; %d spoilt ones, %d of them taken%n", resources.size(), failed, SPOILS.length, taken);
        System.exit(failed + taken == 0 && !resources.isEmpty() ? 0 : 1);
    }
}
