// Package patient keeps the code that is generated from patient.proto; it never does anything itself.
package patient
