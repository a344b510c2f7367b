// Sends what it is told with the real libraries: one task on standard input is {library, host, key, calls, retries}.
import { Analytics as Segment } from '@segment/analytics-node'
import Rudder from '@rudderstack/rudder-sdk-node'

function dated({ timestamp, ...rest }) {
  return timestamp ? { ...rest, timestamp: new Date(timestamp) } : rest
}

async function segment({ host, key, calls, retries }) {
  const library = new Segment({ writeKey: key, host, maxRetries: retries, flushInterval: 200 })
  const errors = []
  library.on('error', (error) => errors.push(String(error.code)))
  for (const [verb, call] of calls) library[verb](dated(call))
  await library.closeAndFlush({ timeout: 30_000 })
  return errors
}

async function rudder({ host, key, calls, retries }) {
  const library = new (Rudder.default ?? Rudder)(key, {
    dataPlaneUrl: host, retryCount: retries, flushInterval: 200, logLevel: 'error', errorHandler: () => {}
  })
  const errors = []
  const sent = calls.map(([verb, call]) => new Promise((resolve) => {
    library[verb](dated(call), (error) => { if (error) errors.push(String(error)); resolve() })
  }))
  const waiting = new Promise((resolve) => setTimeout(resolve, 30_000).unref())
  await Promise.race([Promise.all(sent), waiting])
  return errors
}

let text = ''
for await (const part of process.stdin) text += part
const libraries = { segment, rudder }
const answers = await Promise.all(JSON.parse(text).map((task) => libraries[task.library](task)))
process.stdout.write(JSON.stringify(answers) + '\n')
process.exit(0)
