package handlers

import (
	"context"
	"math"
	"slices"

	"github.com/gin-gonic/gin"

	"casepress/jsonfile"
	"casepress/tasks"
)

// Limits of a check of receipts: part of the API.
const (
	maxReceipts     = 1000
	maxReceiptBytes = 512 << 10
)

// heldReceipt is what a client believes to be stored.
type heldReceipt struct {
	tasks.Header
	sha256    string
	kind      *tasks.Kind // nil: any that has submissions
	patientID bool        // it was said
}

// The states of a receipt.
const (
	receiptStored    = "stored"
	receiptUnknown   = "unknown"
	receiptDifferent = "different"
)

// checkedReceipt is the answer to one.
type checkedReceipt struct {
	Index int    `json:"index"`
	ID    string `json:"id"`
	// Kind is that of what was found, null if nothing was.
	Kind  *string `json:"kind"`
	State string  `json:"state"`
	// Revision is that which has the digest; it is there only of a kind with revisions.
	Revision int `json:"revision,omitempty"`
	// StoredSHA256 is the digest of the latest that is stored, if that is another.
	StoredSHA256 string `json:"storedSha256,omitempty"`
}

var receiptsFormat = jsonfile.Format{Noun: "a check of receipts", MaxBytes: maxReceiptBytes}

var receiptsMembers = []jsonfile.Member[[]heldReceipt]{
	jsonfile.Required("items", "the receipts to check", func(c *jsonfile.Checker, n *jsonfile.Node, all *[]heldReceipt) {
		*all = jsonfile.List(c, n, maxReceipts, func(item *jsonfile.Node) heldReceipt {
			r := jsonfile.Members(c, item, receiptMembers)
			if r.kind != nil && !r.kind.IsSubmission() && !r.patientID {
				c.Refuse(item, "\"patientId\" is missing; the id of %s is one within a patient", r.kind.Name)
			}
			return r
		})
	}),
}

var receiptMembers = []jsonfile.Member[heldReceipt]{
	jsonfile.Optional("kind", func(c *jsonfile.Checker, n *jsonfile.Node, r *heldReceipt) {
		if name := c.Choice(n, kindsWithReceipts()...); name != "" {
			r.kind, _ = tasks.KindOf(name)
		}
	}),
	jsonfile.Required("id", "the id under which it was handed in", func(c *jsonfile.Checker, n *jsonfile.Node, r *heldReceipt) { r.ID = c.ID(n) }),
	jsonfile.Required("sha256", "the digest of its receipt", func(c *jsonfile.Checker, n *jsonfile.Node, r *heldReceipt) {
		const want = "a SHA-256 as 64 of the characters 0-9 a-f"
		if !c.Is(n, jsonfile.String, want) {
			return
		}
		if len(n.Text) != 64 || !inCharset(n.Text, "0123456789abcdef") {
			c.Refuse(n, "must be %s, not %s", want, jsonfile.Quoted(n.Text))
		}
		r.sha256 = n.Text
	}),
	jsonfile.Optional("study", func(c *jsonfile.Checker, n *jsonfile.Node, r *heldReceipt) { r.Study = c.ID(n) }),
	jsonfile.Optional("patientId", func(c *jsonfile.Checker, n *jsonfile.Node, r *heldReceipt) {
		r.PatientID, r.patientID = c.ID(n), true
	}),
}

// kindsWithReceipts are the names of the kinds that can be asked for.
func kindsWithReceipts() []string {
	var names []string
	for _, k := range tasks.Kinds() {
		if k.HasReceipts() {
			names = append(names, k.Name)
		}
	}
	return names
}

// receiptRoutes serves the question whether copies may be deleted.
func (a *API) receiptRoutes(e *gin.Engine) { e.POST(routeReceipts, a.checkReceipts) }

// checkReceipts answers 200 with the state of each receipt. Like a GET of one it waits for the rows before it calls
// something unknown or different, and it is a 503 if they take too long.
func (a *API) checkReceipts(c *gin.Context) {
	ctx := c.Request.Context()
	held, err := a.readReceipts(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	checked := make([]checkedReceipt, len(held))
	open := make([]int, len(held))
	for i := range open {
		open[i] = i
	}
	err = a.lookAtReceipts(ctx, held, open, checked)
	if open = slices.DeleteFunc(open, func(i int) bool { return checked[i].State == receiptStored }); err == nil && len(open) > 0 {
		if err = a.work.CaughtUp(ctx); err == nil {
			err = a.lookAtReceipts(ctx, held, open, checked)
		}
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	c.Header("Cache-Control", "no-store")
	a.answer(c, "application/json", encodeJSON(struct {
		Items []checkedReceipt `json:"items"`
	}{checked}))
}

// readReceipts reads the question. It counts as an upload, and few are taken apart at once: that takes memory.
func (a *API) readReceipts(c *gin.Context) ([]heldReceipt, error) {
	leave, err := a.admission.uploads.enter(a.cfg, a.clientOf(c), 0, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	defer leave()
	document, err := readJSON(c.Request, maxReceiptBytes)
	if err != nil {
		return nil, err
	}
	select {
	case a.receipts <- struct{}{}:
		defer func() { <-a.receipts }()
	case <-c.Request.Context().Done():
		return nil, c.Request.Context().Err()
	}
	held, problems := jsonfile.Check(receiptsFormat, "", document, func(c *jsonfile.Checker, n *jsonfile.Node) []heldReceipt {
		return jsonfile.Members(c, n, receiptsMembers)
	})
	if err := faultOf(problems); err != nil {
		return nil, err
	}
	return *held, nil
}

// lookAtReceipts looks at what the rows have of some of the receipts.
func (a *API) lookAtReceipts(ctx context.Context, held []heldReceipt, which []int, checked []checkedReceipt) error {
	for _, i := range which {
		checked[i] = checkedReceipt{Index: i, ID: held[i].ID, State: receiptUnknown}
	}
	for _, k := range tasks.Kinds() {
		var of []tasks.Header
		var at []int
		for _, i := range which {
			if r := held[i]; r.kind == k && k.HasReceipts() || r.kind == nil && k.IsSubmission() {
				of, at = append(of, r.Header), append(at, i)
			}
		}
		if len(of) == 0 {
			continue
		}
		digests, err := a.rows.Digests(ctx, k, of)
		if err != nil {
			return err
		}
		for n, i := range at {
			checked[i].found(k, held[i].sha256, digests[n])
		}
	}
	return nil
}

// found takes note of what was accepted under the id as one kind. That of another kind which has the digest stays.
func (r *checkedReceipt) found(k *tasks.Kind, sha256 string, digests []string) {
	if len(digests) == 0 || r.State == receiptStored {
		return
	}
	r.Kind = &k.Name
	if place := slices.Index(digests, sha256); place >= 0 {
		r.State, r.StoredSHA256 = receiptStored, ""
		if k.Revisions {
			r.Revision = place + 1
		}
		return
	}
	r.State, r.StoredSHA256 = receiptDifferent, digests[len(digests)-1]
}
