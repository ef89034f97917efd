//go:build examplekind

package tasks

import (
	"context"
	"encoding/json"

	"casepress/jsonfile"
)

// This file is an example: all that a new kind takes. It is built with the tag examplekind, under which the tests
// run too. A real kind stands in the list of kinds instead of an init.
func init() { kinds = append(kinds, vitalSignsKind) }

var vitalSignsKind = &Kind{
	Name:   "vital-signs",
	Member: "content",
	Topic:  "vital-signs",
	Lane:   "case-reports",
	Path:   "/vital-signs",
	Decode: func(content json.RawMessage) (Content, error) { return decodeAs[VitalSigns](content) },
	Rows:   JSONRows[VitalSigns, VitalSignsResult]("vital_signs"),
	NewTask: func(_ *Processor, w Work) Task {
		return vitalSignsTask{w.Content.(VitalSigns)}
	},
	JSON: &JSONIntake{
		Title: "vital signs",
		Schema: `{"type":"object","required":["id","patientId","systolic","diastolic"],"additionalProperties":false,"properties":{` +
			`"id":{"type":"string"},"study":{"type":"string"},"site":{"type":"string"},"patientId":{"type":"string"},"visitId":{"type":"string"},` +
			`"systolic":{"type":"integer","minimum":20,"maximum":350},"diastolic":{"type":"integer","minimum":10,"maximum":300}}}`,
		Parse: parseVitalSigns,
	},
}

// VitalSigns is a blood pressure in mmHg.
type VitalSigns struct {
	ID        string `json:"id"`
	Study     string `json:"study,omitempty"`
	Site      string `json:"site,omitempty"`
	PatientID string `json:"patientId"`
	VisitID   string `json:"visitId,omitempty"`
	Systolic  int    `json:"systolic"`
	Diastolic int    `json:"diastolic"`
}

// Header says whose they are.
func (v VitalSigns) Header() Header { return Header{v.ID, v.Study, v.Site, v.PatientID, v.VisitID} }

// Key is the id.
func (v VitalSigns) Key() string { return v.ID }

// Digest is that of the JSON with the members in the order of the struct.
func (v VitalSigns) Digest() string {
	return digestJSON(v)
}

var vitalSignsMembers = []jsonfile.Member[VitalSigns]{
	jsonfile.Required("id", "an id of your own", func(c *jsonfile.Checker, n *jsonfile.Node, v *VitalSigns) { v.ID = c.ID(n) }),
	jsonfile.Optional("study", func(c *jsonfile.Checker, n *jsonfile.Node, v *VitalSigns) { v.Study = c.ID(n) }),
	jsonfile.Optional("site", func(c *jsonfile.Checker, n *jsonfile.Node, v *VitalSigns) { v.Site = c.ID(n) }),
	jsonfile.Required("patientId", "the id of the patient", func(c *jsonfile.Checker, n *jsonfile.Node, v *VitalSigns) { v.PatientID = c.ID(n) }),
	jsonfile.Optional("visitId", func(c *jsonfile.Checker, n *jsonfile.Node, v *VitalSigns) { v.VisitID = c.ID(n) }),
	jsonfile.Required("systolic", "mmHg", func(c *jsonfile.Checker, n *jsonfile.Node, v *VitalSigns) { v.Systolic = int(c.Integer(n, 20, 350)) }),
	jsonfile.Required("diastolic", "mmHg", func(c *jsonfile.Checker, n *jsonfile.Node, v *VitalSigns) { v.Diastolic = int(c.Integer(n, 10, 300)) }),
}

func parseVitalSigns(document []byte) (Content, []jsonfile.Problem) {
	format := jsonfile.Format{Noun: "vital signs", MaxBytes: 64 << 10}
	v, problems := jsonfile.Check(format, "", document, func(c *jsonfile.Checker, n *jsonfile.Node) VitalSigns {
		return jsonfile.Members(c, n, vitalSignsMembers)
	})
	if v == nil {
		return nil, problems
	}
	return *v, nil
}

// VitalSignsResult is the mean arterial pressure in mmHg.
type VitalSignsResult struct {
	Mean float64 `json:"mean"`
}

type vitalSignsTask struct{ signs VitalSigns }

// Execute returns the mean arterial pressure, diastolic plus a third of the difference.
func (t vitalSignsTask) Execute(context.Context) (Result, error) {
	return VitalSignsResult{float64(t.signs.Diastolic) + float64(t.signs.Systolic-t.signs.Diastolic)/3}, nil
}
