/**
 * `npm run bench -- ingest-large [--json] [--peer] [--size 1GiB] [--rounds 5]`: one large file, from the enqueueing
 * until it is STORED.
 *
 * A real worker process with default settings on radosgw, Postgres and Redis. Seconds of CPU are those of the worker, its
 * HSM agents, Postgres (the backends of this database) and Redis. With --peer `rclone crypt` copies the same file to the
 * same radosgw, in turn with each round; rclone must be installed.
 */
import { runMain } from '../lib/say.mjs'
import { cpuOfFleet } from './shared/cpu.mjs'
import { runLarge, storeAs } from './shared/large.mjs'
import { rclone } from './shared/rclone.mjs'

await runMain(() =>
  runLarge('ingest-large', (large) => {
    const cpu = () => Object.values(cpuOfFleet([large.worker], large.database)).reduce((sum, one) => sum + one, 0)
    return {
      ours: async (round) => {
        const before = cpu()
        const began = performance.now()
        await storeAs(large, round)
        return { seconds: (performance.now() - began) / 1000, cpu: cpu() - before }
      },
      peer: (round) => rclone(large.bucket, `rclone-${round}`, ['copy', large.folder, 'c:']),
    }
  }),
)
