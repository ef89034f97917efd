package handlers

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"

	"casepress/dispatcher"
	"casepress/jsonfile"
)

// laneAnswer is a lane as /lanes shows it.
type laneAnswer struct {
	Name    string `json:"name"`
	Workers int    `json:"workers"`
	Busy    int    `json:"busy"`
	Waiting int    `json:"waiting"` // accepted submissions that no worker has taken up
}

// lanes answers GET /lanes on the private address.
func (a *API) lanes(c *gin.Context) {
	answer := struct {
		Items []laneAnswer `json:"items"`
	}{Items: []laneAnswer{}}
	for _, l := range a.work.Lanes() {
		shown, err := a.laneAnswer(c, l)
		if err != nil {
			a.fail(c, err)
			return
		}
		answer.Items = append(answer.Items, shown)
	}
	writeJSON(c, http.StatusOK, "application/json", answer)
}

func (a *API) laneAnswer(c *gin.Context, l dispatcher.LaneState) (laneAnswer, error) {
	backlog, err := a.work.Backlog(c.Request.Context(), l.Name)
	return laneAnswer{l.Name, l.Workers, l.Busy, backlog.Waiting}, err
}

// maxLaneBody bounds the body of PUT /lanes/{name}.
const maxLaneBody = 1 << 10

// putLane answers PUT /lanes/{name} with {"workers": n} on the private address. It holds until the next start.
func (a *API) putLane(c *gin.Context) {
	workers, err := workersOf(c.Request.Body)
	if err != nil {
		a.fail(c, err)
		return
	}
	name := c.Param("name")
	err = a.work.SetWorkers(name, workers)
	if _, wrong := errors.AsType[*dispatcher.WorkersError](err); wrong {
		err = invalid("workers", textBadWorkers, dispatcher.MaxWorkers)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	a.log.InfoContext(c.Request.Context(), "workers changed", "lane", name, "workers", workers)
	for _, l := range a.work.Lanes() {
		if l.Name == name {
			shown, err := a.laneAnswer(c, l)
			if err != nil {
				a.fail(c, err)
				return
			}
			writeJSON(c, http.StatusOK, "application/json", shown)
		}
	}
}

// lanesFormat is what PUT /lanes/{name} takes.
var lanesFormat = jsonfile.Format{Noun: "a lane's number of workers", MaxBytes: maxLaneBody}

var laneMembers = []jsonfile.Member[int]{
	jsonfile.Required("workers", fmt.Sprintf("a number from 1 to %d", dispatcher.MaxWorkers), func(c *jsonfile.Checker, n *jsonfile.Node, to *int) {
		*to = int(c.Integer(n, 1, dispatcher.MaxWorkers))
	}),
}

func workersOf(body io.Reader) (int, error) {
	content, err := io.ReadAll(io.LimitReader(body, maxLaneBody+1))
	if err != nil {
		return 0, err
	}
	workers, problems := jsonfile.Check(lanesFormat, "", content, func(c *jsonfile.Checker, n *jsonfile.Node) int {
		return jsonfile.Members(c, n, laneMembers)
	})
	if len(problems) > 0 {
		return 0, invalidJSON(problems)
	}
	return *workers, nil
}
