/**
 * The model of docs/PERFORMANCE.md: how fast a fleet can be, and how large it gets. Pure arithmetic; the figures that go
 * in are measured by `npm run bench -- terms`, `-- hsm`, `-- ingest-small` and `-- postgres`.
 *
 * A fleet is a closed network of queues: a worker starts a file when it has ended another. Each resource is a station with
 * some servers (sessions of the HSM, cores, connections); each file takes a known time of one of them. Two bounds hold for
 * every such network, whatever the distributions are (Denning and Buzen, "The Operational Analysis of Queueing Network
 * Models", 1978): no station does more than all its servers can, and no more files are under way than the workers hold.
 */

/**
 * @typedef {object} Station
 * @property {string} name
 * @property {number} servers how many of them work at once
 * @property {number} seconds of one server that a file takes, over all its visits
 * @property {number} [alone] seconds that a file spends here when nothing queues: less than `seconds` where it asks for
 *   several things at once, as for both derivations. Default: `seconds`
 */

/**
 * Upper bounds of the files a second, least first: one for each station, and `files at once`, the number of files under
 * way divided by the time of a file that meets no queue.
 *
 * @param {readonly Station[]} stations @param {number} atOnce files under way in the whole fleet
 * @returns {{ limit: string, filesPerSecond: number }[]}
 */
export function bounds(stations, atOnce) {
  const alone = stations.reduce((sum, station) => sum + (station.alone ?? station.seconds), 0)
  return [
    ...stations.map(({ name, servers, seconds }) => ({ limit: name, filesPerSecond: servers / seconds })),
    { limit: 'files at once', filesPerSecond: atOnce / alone },
  ].toSorted((a, b) => a.filesPerSecond - b.filesPerSecond)
}

/**
 * The least of the {@link bounds}: what a fleet comes near to when one station is clearly the narrowest. Where two are
 * nearly as narrow, it stays below: they wait for one another.
 *
 * @param {readonly Station[]} stations @param {number} atOnce
 */
export function throughput(stations, atOnce) {
  const [least] = bounds(stations, atOnce)
  return least ?? { limit: 'files at once', filesPerSecond: Infinity }
}

/**
 * What one file asks of each resource. Times in seconds, of one core, session or connection.
 *
 * @typedef {object} Terms
 * @property {number} workerCpu of a worker process and its HSM agents
 * @property {number} hsmCalls calls of C_Sign
 * @property {number} hsmCallsInARow those that wait for one another
 * @property {number} hsmCall how long a call takes
 * @property {number} postgresCpu
 * @property {number} postgresCommits
 * @property {number} redisCpu
 * @property {number} s3Requests
 * @property {number} objectBytes
 * @property {number} rowBytes tables and indexes
 * @property {number} jobBytes in Redis, while it waits
 */

/**
 * What there is of each resource in the whole fleet.
 *
 * @typedef {object} Plant
 * @property {number} workers processes
 * @property {number} workerCores that one of them can use; its event loop is one
 * @property {number} concurrency files that a worker handles at once
 * @property {number} hsmSessions of all agents of all workers, at most as many as the token computes at once
 * @property {number} postgresCores
 * @property {number} s3RequestsPerSecond
 * @property {number} s3BytesPerSecond
 */

/**
 * The stations of a fleet. Redis runs commands on one core, and so has one server.
 *
 * @param {Terms} terms @param {Plant} plant @returns {Station[]}
 */
export function stationsOf(terms, plant) {
  return [
    { name: 'workers', servers: plant.workers * plant.workerCores, seconds: terms.workerCpu },
    {
      name: 'HSM',
      servers: plant.hsmSessions,
      seconds: terms.hsmCalls * terms.hsmCall,
      alone: terms.hsmCallsInARow * terms.hsmCall,
    },
    { name: 'Postgres', servers: plant.postgresCores, seconds: terms.postgresCpu },
    { name: 'Redis', servers: 1, seconds: terms.redisCpu },
    { name: 'S3 requests', servers: 1, seconds: terms.s3Requests / plant.s3RequestsPerSecond },
    { name: 'S3 bandwidth', servers: 1, seconds: terms.objectBytes / plant.s3BytesPerSecond },
  ]
}

/**
 * What a number of files needs at a rate: servers that are busy all the time, so a fleet has more; and what is kept.
 *
 * @param {Terms} terms @param {{ files: number, filesPerSecond: number, workerCores: number }} load
 */
export function needs(terms, { files, filesPerSecond, workerCores }) {
  return {
    days: files / filesPerSecond / 86_400,
    workers: Math.ceil((filesPerSecond * terms.workerCpu) / workerCores),
    hsmSessions: Math.ceil(filesPerSecond * terms.hsmCalls * terms.hsmCall),
    hsmCallsPerSecond: filesPerSecond * terms.hsmCalls,
    postgresCores: filesPerSecond * terms.postgresCpu,
    postgresCommitsPerSecond: filesPerSecond * terms.postgresCommits,
    redisCores: filesPerSecond * terms.redisCpu,
    s3RequestsPerSecond: filesPerSecond * terms.s3Requests,
    objectBytesPerSecond: filesPerSecond * terms.objectBytes,
    postgresBytes: files * terms.rowBytes,
    redisBytesOfWaiting: files * terms.jobBytes,
  }
}
