// Package errors stands in for the one of a cloud's SDK.
package errors

// TencentCloudSDKError is never made here.
type TencentCloudSDKError struct{}

// Error says why.
func (*TencentCloudSDKError) Error() string { return "the cloud's SDK is not part of this build" }
