// formatter.cjs TOOLS MESSAGES PAGE: has Cucumber's own formatter make its page of messages.
const [tools, messages, page] = process.argv.slice(2);
const { createRequire } = require("node:module");
const { createReadStream, createWriteStream } = require("node:fs");
const { createInterface } = require("node:readline");
const { Readable, pipeline } = require("node:stream");
const load = createRequire(`${tools}/package.json`);
const formatter = load("@cucumber/html-formatter");
const { parseEnvelope } = load("@cucumber/messages");

async function* envelopes() {
  for await (const line of createInterface({ input: createReadStream(messages) })) yield parseEnvelope(line);
}
const Stream = formatter.CucumberHtmlStream ?? formatter.default;
pipeline(Readable.from(envelopes()), new Stream(), createWriteStream(page), error => {
  if (error) throw error;
});
