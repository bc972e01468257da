// Package elasticsearch has what Jaeger names of Elasticsearch's client, and refuses to be used.
//
// The real one generates a package for each call of Elasticsearch's API, over 800, more than the rest of Jaeger has
// altogether; a store in memory calls none of them.
package elasticsearch

import (
	"errors"
	"net/http"

	"github.com/elastic/go-elasticsearch/v9/esapi"
)

// Config is what Jaeger sets.
type Config struct {
	Addresses            []string
	Username             string
	Password             string
	Header               http.Header
	Transport            http.RoundTripper
	DiscoverNodesOnStart bool
	CompressRequestBody  bool
}

// Client is never made.
type Client struct {
	Indices *esapi.Indices
}

// NewClient refuses.
func NewClient(Config) (*Client, error) {
	return nil, errors.New("this Jaeger is built without Elasticsearch; it keeps traces in memory")
}
