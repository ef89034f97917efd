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
	content, err := kind.JSON.Parse([]byte(`{"id":"v1","patientId":"P001","systolic":120,"diastolic":75}`))
	require.NoError(t, err)
	require.Equal(t, examples["vital-signs"][0], content)
	task, err := (&tasks.Processor{}).Task(tasks.Work{Submission: tasks.NewSubmission(kind, content)})
	require.NoError(t, err)
	result, err := task.Execute(t.Context())
	require.NoError(t, err)
	require.Equal(t, tasks.VitalSignsResult{Mean: 90}, result)
	_, err = kind.JSON.Parse([]byte(`{"id":"v1","patientId":"P001","systolic":351,"diastolic":9}`))
	require.Equal(t, tasks.FieldErrors{
		{Pointer: "/systolic", Detail: "351 mmHg is not 20 to 350"}, {Pointer: "/diastolic", Detail: "9 mmHg is not 10 to 300"},
	}, err)
}
