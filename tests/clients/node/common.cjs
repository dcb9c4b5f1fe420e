// What every Node client program of the tests shares: the JSON argument in, the one JSON line out.
// Not a library of its own: each program talks to its server through its real driver only.
// The keys of the argument are the fields of `Target` in tests/ground/clients, and `action`.
'use strict'

const crypto = require('node:crypto')
const fs = require('node:fs')
const readline = require('node:readline')

const ROW_BYTES = 64 * 1024 // one row or value of `pump`
const POLL_MS = 20

const print = (answer) => fs.writeSync(1, `${JSON.stringify(answer)}\n`)

// Runs the wanted action and prints its answer; ends the process at once, open queries included.
exports.run = async (client, actions) => {
  const fail = (error) => {
    console.error(error)
    // Node joins the failures of several addresses in one error without a message.
    const text = error.message || error.errors?.map((one) => one.message).join('; ') || String(error)
    print({ client, ok: false, error: text })
    process.exit(1)
  }
  process.on('uncaughtException', fail)
  try {
    const target = JSON.parse(process.argv[2])
    print({ client, ok: true, ...(await actions[target.action](target)) })
    process.exit(0)
  } catch (error) {
    fail(error)
  }
}

// Tells the harness that the connection stands, and waits until it says to go on.
exports.ready = () =>
  new Promise((resolve) => {
    readline.createInterface({ input: process.stdin }).once('line', resolve).once('close', resolve)
    fs.writeSync(1, 'ready\n')
  })

const read = (path) => (path ? fs.readFileSync(path) : undefined)

// The options of Node's own TLS: chain and name are verified unless told.
exports.tls = (target) => ({
  ca: read(target.ca),
  cert: read(target.client_cert),
  key: read(target.client_key),
  rejectUnauthorized: target.verify,
})

// TLS version and serial number of the server's certificate, as the client sees them.
exports.describe = (socket) => ({
  tls: socket?.getProtocol?.() ?? null,
  serial: socket?.getPeerCertificate?.().serialNumber?.toLowerCase() ?? null,
})

// Random hexadecimal text, in rows of 64 KiB: it fits every protocol and does not compress well.
exports.rows = function* (mib) {
  for (let n = 0; n < (mib * 1024 * 1024) / ROW_BYTES; n += 1) {
    yield crypto.randomBytes(ROW_BYTES / 2).toString('hex')
  }
}

// Checksum of rows that pass by.
exports.Digest = class {
  hash = crypto.createHash('sha256')
  bytes = 0

  add(row) {
    this.hash.update(row)
    this.bytes += row.length
    return row
  }
}

// The answer of `pump`: fails unless all checksums are one. `stored` may be null.
exports.compare = (mib, sent, stored, received) => {
  const wanted = mib * 1024 * 1024
  if (sent.bytes !== wanted || received.bytes !== wanted) {
    throw new Error(`sent ${sent.bytes} and received ${received.bytes} of ${wanted} bytes`)
  }
  const [out, back] = [sent.hash.digest('hex'), received.hash.digest('hex')]
  if (out !== back || (stored !== null && stored !== out)) throw new Error('the data changed on the way')
  return { bytes: wanted, sha256: out }
}

// Waits for a condition.
exports.until = async (condition, seconds, what) => {
  const deadline = Date.now() + seconds * 1000
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`after ${seconds} s still not: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}
