// Package common stands in for the one of a cloud's SDK, which flannel's backend "tencent-vpc" is written against.
package common

// StringPtr returns a pointer to the value.
func StringPtr(value string) *string { return &value }

// BoolPtr returns a pointer to the value.
func BoolPtr(value bool) *bool { return &value }

// StringPtrs returns pointers to the values.
func StringPtrs(values []string) []*string {
	pointers := make([]*string, len(values))
	for i := range values {
		pointers[i] = &values[i]
	}
	return pointers
}
