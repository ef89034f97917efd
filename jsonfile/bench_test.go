package jsonfile_test

import (
	"testing"

	"casepress/jsonfile"
)

type small struct{ id, patient string }

var smallMembers = []jsonfile.Member[small]{
	jsonfile.Required("id", "an id", func(c *jsonfile.Checker, n *jsonfile.Node, s *small) { s.id = c.ID(n) }),
	jsonfile.Required("patientId", "an id", func(c *jsonfile.Checker, n *jsonfile.Node, s *small) { s.patient = c.ID(n) }),
	jsonfile.Required("answers", "answers", func(c *jsonfile.Checker, n *jsonfile.Node, _ *small) { c.Is(n, jsonfile.Object, "an object") }),
}

// BenchmarkCheck reads a document of the size of a patient's answers.
func BenchmarkCheck(b *testing.B) {
	document := []byte(`{"id":"QR-4711","patientId":"P001","answers":{"1":0,"2":1,"3":2,"4":1,"5":2,"6":1,"7":3,"8":2,"9":1,` +
		`"10":0,"11":1,"12":2,"13":1,"14":2,"15":1,"16":3,"17":2,"18":1}}`)
	format := jsonfile.Format{Noun: "a document", MaxBytes: 1 << 16}
	b.ReportAllocs()
	for b.Loop() {
		_, problems := jsonfile.Check(format, "", document, func(c *jsonfile.Checker, n *jsonfile.Node) small {
			return jsonfile.Members(c, n, smallMembers)
		})
		if len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}
