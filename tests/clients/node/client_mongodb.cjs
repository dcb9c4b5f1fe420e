// The MongoDB driver for Node.
'use strict'

const { MongoClient } = require('mongodb')
const { run, ready, rows, Digest, compare } = require('./common.cjs')

const connect = (target) =>
  new MongoClient(`mongodb://${target.host}:${target.port}`, {
    tls: target.sslmode !== 'disable',
    tlsCAFile: target.ca ?? undefined,
    tlsAllowInvalidCertificates: !target.verify,
    directConnection: true,
    serverSelectionTimeoutMS: target.timeout * 1000,
  }).connect()

const identity = async (client) => {
  const { name } = await client.db('app').collection('whoami').findOne()
  const { version } = await client.db('admin').command({ buildInfo: 1 })
  return { who: name, server: version }
}

const whoami = async (target) => identity(await connect(target))

const idle = async (target) => {
  const client = await connect(target)
  await ready()
  return identity(client)
}

const pump = async (target) => {
  const [sent, received] = [new Digest(), new Digest()]
  const client = await connect(target)
  const collection = client.db('app').collection('pump_node')
  await collection.drop()
  let n = 0
  for (const row of rows(target.mib)) {
    await collection.insertOne({ _id: n, row: sent.add(row) })
    n += 1
  }
  for await (const { row } of collection.find().sort({ _id: 1 })) received.add(row)
  await collection.drop()
  return { ...(await identity(client)), ...compare(target.mib, sent, null, received) }
}

run('node-mongodb', { whoami, idle, pump })
