package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	heavyReports = 2  // at once
	heavyPhotos  = 25 // of each
	smallEvery   = 200 * time.Millisecond
	aloneSpan    = 6 * time.Second
)

// fairness measures both ways what one kind of work does to the other: the burst beside 50 HEIC photos in work, and a small
// case report beside bursts.
func fairness(ctx context.Context, set settings, data string, c contender, responses []response) (missed []string, err error) {
	const connections = 256
	if set.photos == "" {
		return []string{"fairness was not measured: -photos is not given"}, nil
	}
	photos, err := filepath.Glob(filepath.Join(set.photos, "*.heic"))
	if err != nil || len(photos) == 0 {
		return nil, errors.Join(fmt.Errorf("no *.heic in %s", set.photos), err)
	}
	photo, err := os.ReadFile(photos[0])
	if err != nil {
		return nil, err
	}
	var alone, beside, small, smallBeside []result
	for range set.rounds {
		for _, heavy := range []bool{false, true} {
			questionnaires, reports, err := fairRound(ctx, set, data, c, connections, responses, photo, heavy)
			if err != nil {
				return missed, err
			}
			if heavy {
				beside = append(beside, questionnaires)
			} else {
				alone, small, smallBeside = append(alone, questionnaires), append(small, reports[0]), append(smallBeside, reports[1])
			}
		}
	}
	took := func(r result) float64 { return r.took.Seconds() }
	reply := func(p int) func(result) float64 {
		return func(r result) float64 { return ms(percentile(r.replies, p)) }
	}
	of := func(results []result, figure func(result) float64) float64 {
		return row{results: results}.median(figure)
	}
	var slower []float64
	for i := range alone {
		slower = append(slower, took(beside[i])/took(alone[i]))
	}
	fmt.Printf("\n%d connections, load average %s.\n\n", connections, loadAverage())
	fmt.Println("| fairness | alone | beside | |\n|---|---|---|---|")
	fmt.Printf("| questionnaires beside %d HEIC photos: all answered, s | %.2f | %.2f | %.2f times |\n", heavyReports*heavyPhotos, of(alone, took), of(beside, took), median(slower))
	fmt.Printf("| reply p50 / p99, ms | %.1f / %.1f | %.1f / %.1f | |\n", of(alone, reply(50)), of(alone, reply(99)), of(beside, reply(50)), of(beside, reply(99)))
	fmt.Printf("| a small case report beside bursts, p50 / p95, ms | %.0f / %.0f | %.0f / %.0f | %.0f finished meanwhile |\n", of(small, reply(50)), of(small, reply(95)),
		of(smallBeside, reply(50)), of(smallBeside, reply(95)), of(smallBeside, func(r result) float64 { return float64(len(r.replies)) }))
	if times := median(slower); times > 1.5 {
		missed = append(missed, fmt.Sprintf("questionnaires take %.2f times as long beside HEIC photos; the aim is 1.5", times))
	}
	return missed, nil
}

// fairRound sends a burst to a fresh casepress. With heavy, HEIC photos are in work meanwhile; without, a small case report
// is timed first alone and then beside bursts that are sent over and over.
func fairRound(ctx context.Context, set settings, data string, c contender, connections int, responses []response, photo []byte, heavy bool) (r result, reports [2]result, err error) {
	p, err := prepare(ctx, set, data, c)
	defer func() { err = errors.Join(err, p.end(), os.RemoveAll(data)) }()
	if err != nil {
		return r, reports, err
	}
	if heavy {
		for range heavyReports {
			var all [][]byte
			for range heavyPhotos {
				all = append(all, differently(photo))
			}
			if _, err := p.report(ctx, all...); err != nil {
				return r, reports, err
			}
		}
		time.Sleep(time.Second) // until photos are being decoded
	}
	b := newBurst(p.http, connections, responses)
	if err := b.run(ctx); err != nil {
		return r, reports, err
	}
	r.took, r.replies = b.last.Sub(b.first), b.replies
	if heavy {
		var busy struct {
			Items []struct {
				Name string
				Busy int
			}
		}
		if err := getJSON(ctx, "http://"+p.admin+"/lanes", &busy); err != nil {
			return r, reports, err
		}
		for _, l := range busy.Items {
			if l.Name == "case-reports" && l.Busy == 0 {
				return r, reports, errors.New("the photos were finished before the burst was: nothing was measured")
			}
		}
		return r, reports, p.kill() // the photos would take minutes
	}
	if err := idle(ctx, p); err != nil {
		return r, reports, err
	}
	if reports[0].replies, err = p.smallReports(ctx, func() error { time.Sleep(aloneSpan); return nil }); err != nil {
		return r, reports, err
	}
	reports[1].replies, err = p.smallReports(ctx, func() error {
		for begun := time.Now(); time.Since(begun) < aloneSpan; {
			more := newResponses(len(responses), set.flagged, fmt.Sprintf("%d-", time.Now().UnixNano()))
			if err := newBurst(p.http, connections, more).run(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	return r, reports, err
}

// smallReports sends a small case report each smallEvery while during runs, and returns how long each took until it was
// completed.
func (p *process) smallReports(ctx context.Context, during func() error) (took []time.Duration, err error) {
	var mu sync.Mutex // guards took and failed
	var failed error
	var sending sync.WaitGroup
	ended := make(chan struct{})
	sending.Go(func() {
		tick := time.NewTicker(smallEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ended:
				return
			}
			picture := smallPicture()
			sending.Go(func() {
				begun := time.Now()
				id, err := p.report(ctx, picture)
				if err == nil {
					err = p.completed(ctx, id)
				}
				mu.Lock()
				defer mu.Unlock()
				took, failed = append(took, time.Since(begun)), errors.Join(failed, err)
			})
		}
	})
	err = during()
	close(ended)
	sending.Wait()
	if len(took) == 0 {
		err = errors.Join(err, errors.New("no small case report was sent"))
	}
	return took, errors.Join(err, failed)
}

// report hands in a case report and returns its id.
func (p *process) report(ctx context.Context, pictures ...[]byte) (id string, err error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	err = form.WriteField("patientId", "P001")
	for i, picture := range pictures {
		part, partErr := form.CreateFormFile("images", fmt.Sprintf("%d.img", i))
		if partErr == nil {
			_, partErr = part.Write(picture)
		}
		err = errors.Join(err, partErr)
	}
	if err := errors.Join(err, form.Close()); err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.http+"/upload-case-report", &body)
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", form.FormDataContentType())
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("case report: %d: %s", answer.StatusCode, text)
	}
	var accepted struct{ ID string }
	err = json.Unmarshal(text, &accepted)
	return accepted.ID, err
}

// completed waits until a case report is.
func (p *process) completed(ctx context.Context, id string) error {
	for {
		var report struct{ Status string }
		if err := getJSON(ctx, "http://"+p.http+"/case-reports/"+id+"?wait=20s", &report); err != nil {
			return err
		}
		switch report.Status {
		case "completed":
			return nil
		case "failed":
			return fmt.Errorf("case report %s has failed", id)
		}
	}
}

// differently returns the photo with other bytes: a box of the type "free" behind it, which readers skip (ISO/IEC 14496-12,
// 8.1.2).
func differently(photo []byte) []byte {
	box := binary.BigEndian.AppendUint32(nil, 16)
	box = append(box, "free"...)
	box = binary.BigEndian.AppendUint64(box, rand.Uint64())
	return append(bytes.Clone(photo), box...)
}

// smallPicture is a JPEG of 800 x 600 unlike any other.
func smallPicture() []byte {
	m := image.NewGray(image.Rect(0, 0, 800, 600))
	for range 400 {
		m.SetGray(rand.IntN(800), rand.IntN(600), color.Gray{byte(rand.IntN(256))})
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		panic(err) // writing to memory does not fail
	}
	return b.Bytes()
}
