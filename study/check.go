package study

import (
	"path/filepath"

	"casepress/jsonfile"
	"casepress/tasks/instrument"
)

type (
	checker = jsonfile.Checker
	node    = jsonfile.Node
)

var format = jsonfile.Format{Noun: "a study", MaxBytes: MaxBytes, Schema: schema}

// studyMembers are the members of a study's file. A new one is a line here and a field of [Study], a
// property in docs/study.schema.json and a row in docs/study.md.
var studyMembers = []jsonfile.Member[file]{
	jsonfile.Required("schema", "1", func(c *checker, n *node, _ *file) { c.Integer(n, schema, schema) }),
	jsonfile.Required("id", "the id of the study, as in the name of the file", func(c *checker, n *node, s *file) { s.ID = fileID(c, n) }),
	jsonfile.Required("version", "a whole number from 1", func(c *checker, n *node, s *file) { s.Version = c.Integer(n, 1, maxVersion) }),
	jsonfile.Required("title", "one line for people", func(c *checker, n *node, s *file) { s.Title = c.Line(n, maxTitle) }),
	jsonfile.Required("languages", `language tags such as ["en", "zh-CN"]`, func(c *checker, n *node, s *file) {
		s.Languages = jsonfile.List(c, n, maxLanguages, c.Language)
		c.Unique(n.Items, s.Languages)
	}),
	jsonfile.Optional("sites", func(c *checker, n *node, s *file) {
		s.Sites = jsonfile.List(c, n, maxSites, func(n *node) Site { return jsonfile.Members(c, n, siteMembers) })
		ids := make([]string, len(s.Sites))
		s.sites = make(map[string]bool, len(s.Sites))
		for i, site := range s.Sites {
			ids[i], s.sites[site.ID] = site.ID, true
		}
		c.Unique(n.Items, ids)
	}),
	jsonfile.Optional("instruments", func(c *checker, n *node, s *file) { s.takeInstruments(c, n) }),
	jsonfile.Optional("flags", func(c *checker, n *node, s *file) {
		s.Flags = jsonfile.List(c, n, maxFlags, func(n *node) instrument.Rule { return instrument.TakeRule(c, n) })
		codes := make([]string, len(s.Flags))
		for i, f := range s.Flags {
			codes[i] = f.Code
		}
		c.Unique(n.Items, codes)
	}),
	jsonfile.Optional("crisisText", func(c *checker, n *node, s *file) { s.CrisisText, s.atCrisisText = c.Texts(n, maxText), n }),
	jsonfile.Optional("windows", func(c *checker, n *node, s *file) {
		s.Windows = jsonfile.List(c, n, maxWindows, func(n *node) Window { return window(c, n) })
	}),
	jsonfile.Optional("visits", func(c *checker, n *node, s *file) {
		s.Visits, s.atVisits = jsonfile.List(c, n, maxVisits, func(n *node) Visit { return visit(c, n) }), n
		s.checkVisits(c, n)
	}),
	jsonfile.Optional("lateAfterHours", func(c *checker, n *node, s *file) { s.LateAfterHours = c.Integer(n, 1, maxLateAfter) }),
	jsonfile.Optional("adverseEvents", func(c *checker, n *node, s *file) { s.AdverseEvents = jsonfile.Members(c, n, adverseEventsMembers) }),
}

// file is what a file says before the parts are held against each other.
type file struct {
	Study
	folder                 string
	definitions            []*node // of instruments, where they stand in the file itself
	atFolder, atCrisisText *node
	atVisits               *node
	inFolder               []jsonfile.Problem // of the files there
}

var siteMembers = []jsonfile.Member[Site]{
	jsonfile.Required("id", "the id of the site", func(c *checker, n *node, s *Site) { s.ID = c.ID(n) }),
	jsonfile.Required("title", "one line for people", func(c *checker, n *node, s *Site) { s.Title = c.Line(n, maxTitle) }),
}

// Check reads the content of a file. name is its path, which problems repeat and which must end in
// the id and ".json"; if the study has a folder of instruments, it is looked for beside it. Check returns the study if
// there are no problems, and otherwise the problems as [jsonfile.Check] does, those of the folder's files after them.
func Check(name string, content []byte) (*Study, []jsonfile.Problem) {
	var inFolder []jsonfile.Problem
	s, problems := jsonfile.Check(format, name, content, func(c *checker, n *node) Study {
		f := jsonfile.Members(c, n, studyMembers)
		f.resolve(c)
		inFolder = f.inFolder
		return f.Study
	})
	if len(problems)+len(inFolder) > 0 {
		return nil, append(problems, inFolder...)
	}
	s.SHA256 = digest(content)
	return s, nil
}

// fileID reads the id of the file's study, which is also the file's name.
func fileID(c *checker, n *node) string {
	id := c.ID(n)
	if base := filepath.Base(c.File()); id != "" && base != id+Extension {
		c.Refuse(n, "is %q, so the file must be named %s, not %s", id, id+Extension, jsonfile.Shown(base))
	}
	return id
}
