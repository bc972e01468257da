// A stand-in for Elasticsearch's client, see ../go.mod.
module github.com/elastic/go-elasticsearch/v9

go 1.24
