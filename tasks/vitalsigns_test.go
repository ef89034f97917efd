//go:build examplekind

package tasks_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/tasks"
)

func init() {
	examples["vital-signs"] = []tasks.Content{
		tasks.VitalSigns{ID: "v1", PatientID: "P001", Systolic: 120, Diastolic: 75},
		tasks.VitalSigns{ID: "v1", Study: "S1", Site: "site-7", PatientID: "P001", VisitID: "V1", Systolic: 120, Diastolic: 75},
	}
}

func TestVitalSigns(t *testing.T) {
	kind, err := tasks.KindOf("vital-signs")
	require.NoError(t, err)
	content, problems := kind.JSON.Parse([]byte(`{"id":"v1","patientId":"P001","systolic":120,"diastolic":75}`))
	require.Empty(t, problems)
	require.Equal(t, examples["vital-signs"][0], content)
	task, err := (&tasks.Processor{}).Task(tasks.Work{Submission: tasks.NewSubmission(kind, content)})
	require.NoError(t, err)
	result, err := task.Execute(t.Context())
	require.NoError(t, err)
	require.Equal(t, tasks.VitalSignsResult{Mean: 90}, result)
	_, problems = kind.JSON.Parse([]byte(`{"id":"v1","patientId":"P001","systolic":351,"diastolic":9}`))
	require.Len(t, problems, 2)
	require.Equal(t, "/systolic", problems[0].Pointer)
	require.Equal(t, "/diastolic", problems[1].Pointer)
}
