/**
 * `npm run bench -- restore [--json] [--peer] [--size 1GiB] [--rounds 5]`: one large file, from the start of
 * `sealfleet restore` until it has ended.
 *
 * The command runs as a user runs it, with default settings, on radosgw and Postgres; its seconds of CPU are those of its
 * process and its HSM agents. It syncs the file to disk. With --peer `rclone crypt` copies the same plaintext from the
 * same radosgw, in turn with each round; it does not sync. rclone must be installed. Flags of node itself
 * (`node --cpu-prof tools/bench/restore.mjs`) go to the command, too.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { checkout } from '../lib/places.mjs'
import { runMain } from '../lib/say.mjs'
import { runLarge, storeAs } from './shared/large.mjs'
import { rclone, timed } from './shared/rclone.mjs'

await runMain(() =>
  runLarge('restore', async (large) => {
    const id = await storeAs(large, 'stored')
    const { world, bucket, store } = large
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('SEALFLEET_'))
    const env = { ...Object.fromEntries(inherited), ...world.env, ...store }
    const output = join(world.folder, 'restored')
    const program = join(checkout, 'bundle', 'sealfleet.mjs')
    let copied = false
    return {
      ours: () => {
        const measured = timed(process.execPath, [...process.execArgv, program, 'restore', id, '-o', output], env)
        rmSync(output)
        return measured
      },
      peer: () => {
        if (!copied) rclone(bucket, 'rclone', ['copy', large.folder, 'c:'])
        copied = true
        const measured = rclone(bucket, 'rclone', ['copy', 'c:', `${output}-by-rclone`])
        rmSync(`${output}-by-rclone`, { recursive: true })
        return measured
      },
    }
  }),
)
