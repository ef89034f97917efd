package study_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"casepress/study"
)

// withLadder is a file with a ladder of these rungs.
func withLadder(rungs string) string {
	return strings.TrimSuffix(whole, "}") + `,"adverseEvents":{"limitHours":24,"ladder":{"rungs":` + rungs + `,"repeatMinutes":30}}}`
}

func TestLadder(t *testing.T) {
	got, problems := study.Check("S1.json", []byte(withLadder(`[
		{"who":"Nurse on call","webhook":"e1","hours":{"zone":"Asia/Shanghai","days":["monday","friday"],"opens":"08:00","closes":"17:59"}},
		{"who":"值班医生","mail":"safety@example.org","label":"safety desk","language":"zh-CN","afterMinutes":15},
		{"who":"Night","webhook":"e1","afterMinutes":10080,"hours":{"zone":"UTC","opens":"22:00","closes":"05:59"}}]`)))
	require.Empty(t, problems)
	l := got.AdverseEvents.Ladder
	require.EqualValues(t, 30, l.RepeatMinutes)
	require.Len(t, l.Rungs, 3)
	require.Equal(t, [7]bool{1: true, 5: true}, l.Rungs[0].Hours.Days)
	require.Equal(t, "Asia/Shanghai", l.Rungs[0].Hours.Zone.String())
	require.Equal(t, study.Rung{Who: "值班医生", Mail: "safety@example.org", Label: "safety desk", Language: "zh-CN", AfterMinutes: 15}, l.Rungs[1])
	require.Equal(t, []string{"e1", "safety desk", "e1"}, []string{l.Rungs[0].Channel(), l.Rungs[1].Channel(), l.Rungs[2].Channel()})
	require.Equal(t, [7]bool{true, true, true, true, true, true, true}, l.Rungs[2].Hours.Days)
	none, problems := study.Check("S1.json", []byte(whole))
	require.Empty(t, problems)
	require.Empty(t, none.AdverseEvents.Ladder.Rungs)
}

func TestLadderRefuses(t *testing.T) {
	hours := func(of string) string { return withLadder(`[{"who":"A","webhook":"e","hours":` + of + `}]`) }
	const at = `adverseEvents.ladder.rungs`
	for content, want := range map[string]string{
		withLadder(`[]`):                at + `: has 0 items; it must have 1 to 20`,
		withLadder(`[{"webhook":"e"}]`): at + `[0]: "who" is missing; give a person or a duty`,
		withLadder(`[{"who":"A"}]`):     at + `[0]: has no channel; give "webhook", the id of an endpoint, or "mail", an address`,
		withLadder(`[{"who":"A","webhook":"e","mail":"a@b.org","label":"l"}]`):                                   at + `[0].mail: is a second channel`,
		withLadder(`[{"who":"A","mail":"a@b.org"}]`):                                                             at + `[0]: "label" is missing; give what stands for the address`,
		withLadder(`[{"who":"A","webhook":"e","label":"l"}]`):                                                    at + `[0].label: is for "mail" alone`,
		withLadder(`[{"who":"A","webhook":"e","language":"en"}]`):                                                at + `[0].language: is for "mail" alone`,
		withLadder(`[{"who":"A","webhook":"e","afterMinutes":-1}]`):                                              at + `[0].afterMinutes: must be a whole number from 0 to 10080`,
		withLadder(`[{"who":"A","webhook":"a b"}]`):                                                              at + `[0].webhook: must be 1 to 64`,
		withLadder(`[{"who":"A","mail":"A <a@b.org>","label":"l"}]`):                                             at + `[0].mail: must be a mail address alone`,
		withLadder(`[{"who":"A","mail":"a@b.org\r\nBcc: c@d.org","label":"l"}]`):                                 at + `[0].mail: must be a mail address alone`,
		withLadder(`[{"who":"A","mail":"a@b.org,c@d.org","label":"l"}]`):                                         at + `[0].mail: must be a mail address alone`,
		withLadder(`[{"who":"A","mail":"a","label":"l"}]`):                                                       at + `[0].mail: must be a mail address alone`,
		withLadder(`[{"who":"A","mail":"a@b.org","label":"l"},{"who":"B","mail":"c@d.org","label":"l"}]`):        at + `[1]: "l" stands for another channel in item [0]`,
		withLadder(`[{"who":"A","webhook":"l"},{"who":"B","mail":"c@d.org","label":"l"}]`):                       at + `[1]: "l" stands for another channel in item [0]`,
		hours(`{"opens":"08:00","closes":"17:59"}`):                                                              at + `[0].hours: "zone" is missing`,
		hours(`{"zone":"Mars/Olympus","opens":"08:00","closes":"17:59"}`):                                        at + `[0].hours.zone: must be a time zone of IANA, such as "Asia/Shanghai" or "UTC", not "Mars/Olympus"`,
		hours(`{"zone":"Local","opens":"08:00","closes":"17:59"}`):                                               at + `[0].hours.zone: must be a time zone of IANA`,
		hours(`{"zone":"","opens":"08:00","closes":"17:59"}`):                                                    at + `[0].hours.zone: must be a time zone of IANA`,
		hours(`{"zone":"UTC","opens":"8:00","closes":"17:59"}`):                                                  at + `[0].hours.opens: must be a time of day such as "08:00", not "8:00"`,
		hours(`{"zone":"UTC","opens":"08:00","closes":"24:00"}`):                                                 at + `[0].hours.closes: must be a time of day`,
		hours(`{"zone":"UTC","days":["mon"],"opens":"08:00","closes":"17:59"}`):                                  at + `[0].hours.days[0]: must be one of sunday, monday`,
		hours(`{"zone":"UTC","days":["monday","monday"],"opens":"08:00","closes":"17:59"}`):                      at + `[0].hours.days[1]: "monday" was listed before`,
		strings.Replace(withLadder(`[{"who":"A","webhook":"e"}]`), `"repeatMinutes":30`, `"repeatMinutes":4`, 1): `adverseEvents.ladder.repeatMinutes: must be a whole number from 5 to 1440`,
		strings.Replace(withLadder(`[{"who":"A","webhook":"e"}]`), `,"repeatMinutes":30`, ``, 1):                 `adverseEvents.ladder: "repeatMinutes" is missing`,
	} {
		got, problems := study.Check("S1.json", []byte(content))
		require.Nil(t, got, content)
		require.Len(t, problems, 1, "%s: %v", content, problems)
		require.Contains(t, problems[0].String(), want)
	}
}

// Hours are those that the clocks of the zone show, also on days on which they are changed; and nothing changes before
// NextChange. Each minute of the days is looked at.
func TestHours(t *testing.T) {
	for _, zone := range []string{"UTC", "Asia/Shanghai", "Europe/Berlin", "Australia/Lord_Howe"} {
		location, err := time.LoadLocation(zone)
		require.NoError(t, err)
		for _, h := range []study.Hours{
			{Opens: "08:00", Closes: "17:59", Days: [7]bool{1: true, 2: true, 3: true, 4: true, 5: true}},
			{Opens: "02:30", Closes: "02:45", Days: [7]bool{true, true, true, true, true, true, true}}, // which a day may not have, or twice
			{Opens: "22:00", Closes: "05:59", Days: [7]bool{0: true, 6: true}},
			{Opens: "00:00", Closes: "23:59", Days: [7]bool{0: true}},
			{Opens: "12:00", Closes: "12:00", Days: [7]bool{true, true, true, true, true, true, true}},
		} {
			h.Zone = location
			for _, begin := range []time.Time{
				time.Date(2027, 3, 27, 0, 0, 0, 0, time.UTC), time.Date(2027, 10, 30, 0, 0, 0, 0, time.UTC), // in Berlin
				time.Date(2027, 4, 2, 0, 0, 0, 0, time.UTC), time.Date(2027, 10, 1, 0, 0, 0, 0, time.UTC), // on Lord Howe, by half an hour
			} {
				name := fmt.Sprint(zone, h.Opens, begin)
				next := begin
				for at := begin; at.Before(begin.Add(3 * 24 * time.Hour)); at = at.Add(time.Minute) {
					if has := h.Has(at); has != inHours(h, at) || at.Before(next) && has != h.Has(at.Add(-time.Minute)) {
						t.Fatalf("%s: at %s it is %v, and the next change is at %s", name, at, has, next)
					}
					if at.Before(next) {
						continue
					}
					require.True(t, next.Equal(at), "%s: a change within a minute: %s", name, next)
					inside := at.Add(17 * time.Second)
					next = h.NextChange(inside)
					require.True(t, next.After(inside) && !next.After(inside.Add(25*time.Hour)), "%s %s: %s", name, inside, next)
				}
			}
		}
	}
}

// inHours says the same as [study.Hours.Has] by numbers.
func inHours(h study.Hours, at time.Time) bool {
	local := at.In(h.Zone)
	number := func(moment string) (n int) {
		var hour, minute int
		_, err := fmt.Sscanf(moment, "%d:%d", &hour, &minute)
		if err != nil {
			panic(err)
		}
		return 60*hour + minute
	}
	now, from, to := 60*local.Hour()+local.Minute(), number(h.Opens), number(h.Closes)
	today, yesterday := int(local.Weekday()), int(local.AddDate(0, 0, -1).Weekday())
	if from <= to {
		return h.Days[today] && from <= now && now <= to
	}
	return h.Days[today] && now >= from || h.Days[yesterday] && now <= to
}
