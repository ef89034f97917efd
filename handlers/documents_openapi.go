package handlers

import (
	"bytes"
	"strings"
	"text/template"
	"unicode"

	"casepress/tasks"
)

// openAPI returns the contract: openapi.yaml, and the routes of every kind whose submissions are documents.
func openAPI() []byte {
	text := openAPIText
	for _, k := range tasks.Kinds() {
		if k.JSON == nil {
			continue
		}
		kind := documentContract{Name: k.Name, Path: k.Path, Title: k.JSON.Title, Schema: k.JSON.Schema, Component: component(k.Name)}
		text = insertAfter(text, "\npaths:\n", kind.render(documentPaths))
		text = insertAfter(text, "\n  schemas:\n", kind.render(documentSchemas))
	}
	return text
}

// documentContract is what the contract says of one kind.
type documentContract struct{ Name, Path, Title, Schema, Component string }

func (k documentContract) render(t *template.Template) []byte {
	var b bytes.Buffer
	if err := t.Execute(&b, k); err != nil {
		panic(err) // the templates are fixed, and so are their values
	}
	return b.Bytes()
}

// component is the name of a kind in the contract: vital-signs is VitalSigns.
func component(name string) string {
	var b strings.Builder
	up := true
	for _, r := range name {
		if r == '-' {
			up = true
			continue
		}
		if up {
			r = unicode.ToUpper(r)
		}
		up = false
		b.WriteRune(r)
	}
	return b.String()
}

func insertAfter(text []byte, line string, more []byte) []byte {
	at := bytes.Index(text, []byte(line))
	if at < 0 {
		panic("openapi.yaml has no line " + strings.TrimSpace(line))
	}
	at += len(line)
	return bytes.Join([][]byte{text[:at], more, text[at:]}, nil)
}

var documentPaths = template.Must(template.New("paths").Parse(`  {{.Path}}:
    post:
      tags: [hand in]
      operationId: post{{.Component}}
      summary: Hand in {{.Title}}
      description: 201 is answered when the document is on stable storage. The same id and content again is the same receipt; other content under the id is a 409.
      parameters:
        - $ref: '#/components/parameters/AcceptLanguage'
        - $ref: '#/components/parameters/RequestId'
      requestBody:
        required: true
        content:
          application/json:
            schema: {$ref: '#/components/schemas/{{.Component}}'}
      responses:
        "201":
          description: It is stored, or was stored before.
          headers:
            Location: {schema: {type: string, format: uri-reference}}
            Content-Language: {$ref: '#/components/headers/ContentLanguage'}
            X-Request-Id: {$ref: '#/components/headers/RequestId'}
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Accepted{{.Component}}'}
        default:
          description: Nothing was stored by this request; the problem says why.
          headers: {X-Request-Id: {$ref: '#/components/headers/RequestId'}}
          content:
            application/problem+json:
              schema: {$ref: '#/components/schemas/SubmissionProblem'}
    get:
      tags: [follow]
      operationId: list{{.Component}}
      summary: List {{.Title}}, the newest first
      parameters:
        - {name: study, in: query, schema: {$ref: '#/components/schemas/Id'}}
        - {name: site, in: query, schema: {$ref: '#/components/schemas/Id'}}
        - {name: patientId, in: query, schema: {$ref: '#/components/schemas/Id'}}
        - {name: visitId, in: query, schema: {$ref: '#/components/schemas/Id'}}
        - {name: status, in: query, schema: {$ref: '#/components/schemas/Status'}}
        - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 200, default: 50}}
        - {name: cursor, in: query, schema: {type: string}}
        - $ref: '#/components/parameters/AcceptLanguage'
        - $ref: '#/components/parameters/RequestId'
      responses:
        "200":
          description: One page.
          headers: {X-Request-Id: {$ref: '#/components/headers/RequestId'}}
          content:
            application/json:
              schema:
                type: object
                required: [items, next, upToDate]
                properties:
                  items: {type: array, items: {$ref: '#/components/schemas/Stored{{.Component}}'}}
                  next: {type: [string, "null"]}
                  upToDate: {type: boolean}
        default:
          description: The problem says why.
          content:
            application/problem+json:
              schema: {$ref: '#/components/schemas/Problem'}
  {{.Path}}/{id}:
    get:
      tags: [follow]
      operationId: get{{.Component}}
      summary: How one stands
      parameters:
        - {name: id, in: path, required: true, schema: {$ref: '#/components/schemas/PathId'}}
        - {name: wait, in: query, schema: {type: string}}
        - $ref: '#/components/parameters/IfNoneMatch'
        - $ref: '#/components/parameters/AcceptLanguage'
        - $ref: '#/components/parameters/RequestId'
      responses:
        "200":
          description: It.
          headers: {X-Request-Id: {$ref: '#/components/headers/RequestId'}}
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Stored{{.Component}}'}
        "304": {$ref: '#/components/responses/NotModified'}
        default:
          description: The problem says why.
          content:
            application/problem+json:
              schema: {$ref: '#/components/schemas/Problem'}
  {{.Path}}/{id}/retry:
    post:
      tags: [follow]
      operationId: retry{{.Component}}
      summary: Let a failed one run again
      parameters:
        - {name: id, in: path, required: true, schema: {$ref: '#/components/schemas/PathId'}}
        - $ref: '#/components/parameters/AcceptLanguage'
        - $ref: '#/components/parameters/RequestId'
      responses:
        "202":
          description: It will run.
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Retried'}
        default:
          description: The problem says why.
          content:
            application/problem+json:
              schema: {$ref: '#/components/schemas/Problem'}

`))

var documentSchemas = template.Must(template.New("schemas").Parse(`    {{.Component}}: {{.Schema}}
    Accepted{{.Component}}:
      type: object
      required: [id, status, message, statusUrl, receipt]
      properties:
        id: {$ref: '#/components/schemas/PathId'}
        status: {$ref: '#/components/schemas/Status'}
        message: {type: string, minLength: 1}
        statusUrl: {type: string, format: uri-reference}
        receipt: {$ref: '#/components/schemas/Receipt'}
    Stored{{.Component}}:
      type: object
      required: [id, study, site, patientId, visitId, status, attempts, content, result, receipt, createdAt, startedAt, finishedAt, nextAttemptAt, error]
      properties:
        id: {$ref: '#/components/schemas/PathId'}
        study: {type: [string, "null"]}
        site: {type: [string, "null"]}
        patientId: {$ref: '#/components/schemas/Id'}
        visitId: {type: [string, "null"]}
        status: {$ref: '#/components/schemas/Status'}
        attempts: {type: integer, minimum: 0}
        content: {$ref: '#/components/schemas/{{.Component}}'}
        result: {description: What was made of it; null until it is completed.}
        receipt: {$ref: '#/components/schemas/Receipt'}
        createdAt: {type: [string, "null"], format: date-time}
        startedAt: {type: [string, "null"], format: date-time}
        finishedAt: {type: [string, "null"], format: date-time}
        nextAttemptAt: {type: [string, "null"], format: date-time}
        error: {type: [string, "null"]}
`))
