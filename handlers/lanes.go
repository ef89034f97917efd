package handlers

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"

	"casepress/dispatcher"
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

func workersOf(body io.Reader) (int, error) {
	decoder := json.NewDecoder(io.LimitReader(body, maxLaneBody))
	decoder.DisallowUnknownFields()
	var wanted struct {
		Workers *int `json:"workers"`
	}
	err := decoder.Decode(&wanted)
	if _, more := decoder.Token(); err != nil || !errors.Is(more, io.EOF) || wanted.Workers == nil {
		return 0, invalid("workers", textBadWorkers, dispatcher.MaxWorkers)
	}
	return *wanted.Workers, nil
}
