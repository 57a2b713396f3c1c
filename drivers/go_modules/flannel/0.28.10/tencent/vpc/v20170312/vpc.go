// Package v20170312 stands in for the one of a cloud's SDK: the backend "tencent-vpc" of this flannel says that it is
// not there. Every other backend is flannel's own, unchanged.
package v20170312

import "errors"

var errLeftOut = errors.New("the backend tencent-vpc is not part of this build of flannel")

// Client can do nothing.
type Client struct{}

// Filter, Route and RouteTable have the fields that flannel uses.
type (
	Filter struct {
		Name   *string
		Values []*string
	}
	Route struct {
		DestinationCidrBlock *string
		GatewayId            *string
		GatewayType          *string
		RouteType            *string
		Enabled              *bool
		RouteId              *uint64
	}
	RouteTable struct {
		RouteTableId *string
		RouteSet     []*Route
	}
)

// The requests, and the one answer, have the fields that flannel uses.
type (
	DescribeRouteTablesRequest struct{ Filters []*Filter }
	DeleteRoutesRequest        struct {
		RouteTableId *string
		Routes       []*Route
	}
	CreateRoutesRequest struct {
		RouteTableId *string
		Routes       []*Route
	}
	DescribeRouteTablesAnswer   struct{ RouteTableSet []*RouteTable }
	DescribeRouteTablesResponse struct{ Response *DescribeRouteTablesAnswer }
)

// NewClientWithSecretId makes a client whose every call fails.
func NewClientWithSecretId(_, _, _ string) (*Client, error) { return &Client{}, nil }

// NewDescribeRouteTablesRequest makes an empty request.
func NewDescribeRouteTablesRequest() *DescribeRouteTablesRequest {
	return &DescribeRouteTablesRequest{}
}

// NewDeleteRoutesRequest makes an empty request.
func NewDeleteRoutesRequest() *DeleteRoutesRequest { return &DeleteRoutesRequest{} }

// NewCreateRoutesRequest makes an empty request.
func NewCreateRoutesRequest() *CreateRoutesRequest { return &CreateRoutesRequest{} }

// DescribeRouteTables fails.
func (*Client) DescribeRouteTables(*DescribeRouteTablesRequest) (*DescribeRouteTablesResponse, error) {
	return nil, errLeftOut
}

// DeleteRoutes fails.
func (*Client) DeleteRoutes(*DeleteRoutesRequest) (any, error) { return nil, errLeftOut }

// CreateRoutes fails.
func (*Client) CreateRoutes(*CreateRoutesRequest) (any, error) { return nil, errLeftOut }
