package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"casepress/study"
	"casepress/tasks"
)

// rungs are those of a ladder: "A@0 B@15 C@30/9-17" is A at once, B 15 minutes after and C, from 9 to 17 in the zone, 30 after that.
func ladder(t require.TestingT, zone, rungs string) study.Ladder {
	location, err := time.LoadLocation(zone)
	require.NoError(t, err)
	l := study.Ladder{RepeatMinutes: 30}
	for one := range strings.FieldsSeq(rungs) {
		var r study.Rung
		of, hours, limited := strings.Cut(one, "/")
		_, err := fmt.Sscanf(of, "%1s@%d", &r.Who, &r.AfterMinutes)
		require.NoError(t, err)
		r.Webhook = strings.ToLower(r.Who)
		if limited {
			var from, to int
			_, err := fmt.Sscanf(hours, "%d-%d", &from, &to)
			require.NoError(t, err)
			r.Hours = &study.Hours{
				Zone: location, Days: [7]bool{true, true, true, true, true, true, true},
				Opens: fmt.Sprintf("%02d:00", from), Closes: fmt.Sprintf("%02d:59", to-1),
			}
		}
		l.Rungs = append(l.Rungs, r)
	}
	return l
}

// played is a case that a ladder is played for, by a clock that jumps.
type played struct {
	ladder   study.Ladder
	received time.Time
	now      time.Time
	steps    []tasks.Step
	known    map[string]bool // their keys
	fails    func(r study.Rung, at time.Time) bool
	told     []string // "A+15" is A after 15 minutes; "A!15" if it failed
}

func play(l study.Ladder, received time.Time) *played {
	return &played{ladder: l, received: received, now: received, known: map[string]bool{}, fails: func(study.Rung, time.Time) bool { return false }}
}

// until plays on until so long after the case was received, and returns what was told meanwhile.
func (p *played) until(t require.TestingT, after time.Duration) string {
	end := p.received.Add(after)
	p.told = nil
	for rounds := 0; ; rounds++ {
		require.Less(t, rounds, 10_000, "it goes round in circles")
		next := nextAlert(p.ladder, p.received, p.steps, p.now)
		if next.rung == 0 {
			require.True(t, next.at.After(p.now), "it waits for what is over")
			if next.at.After(end) {
				p.now = end
				return strings.Join(p.told, " ")
			}
			p.now = next.at
			continue
		}
		r := p.ladder.Rungs[next.rung-1]
		s := tasks.Step{At: p.now, AdverseEventStep: tasks.AdverseEventStep{
			Step: tasks.StepNotification, Name: r.Who, Channel: r.Channel(), Rung: next.rung, Attempt: next.attempt, Failed: p.fails(r, p.now),
		}}
		require.False(t, p.known[s.Key()], "each attempt is one step")
		p.known[s.Key()] = true
		p.steps = append(p.steps, s)
		sign := "+"
		if s.Failed {
			sign = "!"
		}
		p.told = append(p.told, fmt.Sprintf("%s%s%d", r.Who, sign, int(p.now.Sub(p.received).Minutes())))
	}
}

var noon = time.Date(2027, 3, 24, 12, 0, 0, 0, time.UTC) // a Wednesday

func TestOrderAndRepeat(t *testing.T) {
	p := play(ladder(t, "UTC", "A@0 B@15 C@60"), noon)
	require.Equal(t, "A+0 B+15 C+75 C+105 C+135", p.until(t, 140*time.Minute))
	require.Equal(t, "A+10", play(ladder(t, "UTC", "A@10"), noon).until(t, 20*time.Minute))
	require.Equal(t, "A+0 B+0 C+0", play(ladder(t, "UTC", "A@0 B@0 C@0"), noon).until(t, 20*time.Minute))
}

// A rung outside of its hours is skipped and takes no time; it is told when they begin. While nobody is within hours, hours do
// not count.
func TestHoursOfRungs(t *testing.T) {
	night := time.Date(2027, 3, 24, 2, 0, 0, 0, time.UTC)
	p := play(ladder(t, "UTC", "A@0/9-17 B@15 C@30"), night)
	require.Equal(t, "B+0 C+30 C+60", p.until(t, 61*time.Minute))
	require.Contains(t, p.until(t, 8*time.Hour), "C+390 A+420", "at 9:00")

	// The last one goes off duty: the highest that is on duty is repeated.
	p = play(ladder(t, "UTC", "A@0 B@15/9-13"), noon)
	require.Equal(t, "A+0 B+15 B+45 A+60 A+90", p.until(t, 100*time.Minute))

	// At night nobody is on duty: they are reached in their order all the same.
	p = play(ladder(t, "UTC", "A@0/9-17 B@15/8-16"), night)
	require.Equal(t, "A+0 B+15 B+45", p.until(t, 50*time.Minute))

	// B is due and not on duty yet, A is: B is told when their hours begin.
	p = play(ladder(t, "UTC", "A@0 B@15/14-20"), noon)
	require.Equal(t, "A+0 A+30 A+60 A+90 B+120 B+150", p.until(t, 151*time.Minute))
}

// On the 28th of March 2027 clocks in Berlin go from 2:00 to 3:00, on the 31st of October from 3:00 to 2:00.
func TestHoursAcrossChangesOfTheClock(t *testing.T) {
	for received, want := range map[time.Time]string{
		time.Date(2027, 3, 26, 23, 30, 0, 0, time.UTC):  "A+510", // 0:30 on Saturday; 9:00 is 8:00 UTC
		time.Date(2027, 3, 27, 23, 30, 0, 0, time.UTC):  "A+450", // 0:30 on Sunday; 9:00 is 7:00 UTC
		time.Date(2027, 10, 30, 22, 30, 0, 0, time.UTC): "A+570", // 0:30 on Sunday; 9:00 is 8:00 UTC
	} {
		p := play(ladder(t, "Europe/Berlin", "A@0/9-17 B@0"), received)
		require.Equal(t, "B+0", p.until(t, 10*time.Minute))
		require.Contains(t, strings.Fields(p.until(t, 12*time.Hour)), want)
	}
}

// A rung that fails has reached nobody: the next one comes at once. Where none comes after it, it is tried again sooner, and the
// one before is repeated.
func TestRungsThatFail(t *testing.T) {
	p := play(ladder(t, "UTC", "A@0 B@15 C@60"), noon)
	p.fails = func(r study.Rung, _ time.Time) bool { return r.Who == "A" }
	require.Equal(t, "A!0 B+0 C+60 C+90", p.until(t, 100*time.Minute))

	p = play(ladder(t, "UTC", "A@0 B@15"), noon)
	p.fails = func(r study.Rung, at time.Time) bool { return r.Who == "B" && at.Before(noon.Add(75*time.Minute)) }
	require.Equal(t, "A+0 B!15 B!16 B!18 B!22 B!30 A+30 B!46 A+60 B+76 B+106", p.until(t, 110*time.Minute))

	p = play(ladder(t, "UTC", "A@0 B@15"), noon)
	p.fails = func(study.Rung, time.Time) bool { return true }
	require.Equal(t, "A!0 B!0 B!1 A!1 B!3 A!3 B!7 A!7", p.until(t, 10*time.Minute))
}

// After a restart the same comes next, at any moment and with any ladder.
func TestRestartForgetsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"A@0 B@15 C@60", "A@5/9-17 B@15 C@30/8-13", "A@0/9-17 B@15/13-20", "A@0/22-23"}).Draw(t, "ladder")
		broken := rapid.SampledFrom([]string{"", "A", "B", "AB"}).Draw(t, "broken")
		again := func() *played {
			p := play(ladder(t, "Europe/Berlin", text), noon)
			p.fails = func(r study.Rung, _ time.Time) bool { return strings.Contains(broken, r.Who) }
			return p
		}
		const whole = 30 * time.Hour
		want := again().until(t, whole)
		stops := again()
		var got []string
		for after := time.Duration(0); after < whole; {
			after = min(whole, after+time.Duration(rapid.Int64Range(1, int64(10*time.Hour)).Draw(t, "runs for")))
			if told := stops.until(t, after); told != "" {
				got = append(got, told)
			}
		}
		require.Equal(t, want, strings.Join(got, " "))
	})
}

// A restart that takes long has missed nothing: what was due meanwhile comes at once, and once.
func TestLongAbsence(t *testing.T) {
	p := play(ladder(t, "UTC", "A@0 B@15 C@60"), noon)
	require.Equal(t, "A+0", p.until(t, time.Minute))
	p.now = noon.Add(50 * time.Hour)
	require.Equal(t, "B+3000 C+3060", p.until(t, 50*time.Hour+70*time.Minute))
}

// Who changes the ladder changes what comes next: whoever was not told is, and a shorter one goes on where it can.
func TestLadderChanges(t *testing.T) {
	p := play(ladder(t, "UTC", "A@0 B@15 C@60"), noon)
	p.until(t, 80*time.Minute)
	p.ladder = ladder(t, "UTC", "X@0 B@15 C@60")
	require.Equal(t, "X+80 C+105", p.until(t, 110*time.Minute), "a new person in the place of one who was passed over")
	p.ladder = ladder(t, "UTC", "X@0 B@15")
	require.Equal(t, "B+110 B+140", p.until(t, 141*time.Minute), "the last one is another now")
	p.ladder = ladder(t, "UTC", "X@0 B@15 D@60")
	require.Equal(t, "D+200", p.until(t, 201*time.Minute))
	p.ladder = ladder(t, "UTC", "E@0 F@15")
	require.Equal(t, "E+201 F+216", p.until(t, 220*time.Minute), "nobody of them has heard of it")
}

// A clock that is put back makes nobody wait for as long; one that is put forward makes everything due.
func TestClockJumps(t *testing.T) {
	p := play(ladder(t, "UTC", "A@0 B@15"), noon)
	p.until(t, 16*time.Minute)
	p.now = noon.Add(-24 * time.Hour)
	require.Equal(t, "B+-1440 B+-1410", p.until(t, -1400*time.Minute))
	p = play(ladder(t, "UTC", "A@0 B@15"), noon)
	p.now = noon.Add(-24 * time.Hour)
	require.Equal(t, "A+-1440", p.until(t, -1430*time.Minute), "received in what is the future now")
	p.now = noon.Add(24 * time.Hour)
	require.Equal(t, "B+1440", p.until(t, 1441*time.Minute))
	p.now = p.now.Add(-3 * time.Second) // as clocks are put right all the time
	require.Empty(t, p.until(t, 1442*time.Minute))
}

// A case that nobody ever acknowledges does not fill its timeline without end.
func TestRepeatsBecomeRare(t *testing.T) {
	l := ladder(t, "UTC", "A@0 B@15")
	l.RepeatMinutes = 5
	p := play(l, noon)
	p.until(t, 300*24*time.Hour)
	require.InDelta(t, 500+298, len(p.steps), 2)
	p = play(l, noon)
	p.fails = func(study.Rung, time.Time) bool { return true }
	p.until(t, 300*24*time.Hour)
	require.Less(t, len(p.steps), 500+2*300+4)
}
