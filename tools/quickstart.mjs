/**
 * `npm run quickstart [-- PATH…]`: from a fresh clone to sealed files. Installs missing programs, starts private
 * services below .sealfleet/ (their roots are the folders of the PATHs, or the samples' own, and nothing else), makes
 * master keys, starts two workers, maintenance, the dashboard and the HTTP API, seals sample files (or the PATHs),
 * restores one and compares it, shows that the stored bytes are not the plaintext, and makes a token of the API. Another
 * run uses what is there.
 */
import './lib/node-version.mjs'
import { spawnSync } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { checkPath } from './lib/check-path.mjs'
import { applicationEnvironment, writeEnvironment } from './lib/environment.mjs'
import { checkout, defaultRoots, quickstartHome as home } from './lib/places.mjs'
import { QUICKSTART_SERVICES, startServices } from './lib/private-services.mjs'
import { missingRoots } from './lib/quickstart/roots.mjs'
import { makeSamples } from './lib/quickstart/samples.mjs'
import { findPlaintext, hexDump } from './lib/quickstart/show.mjs'
import { compareFiles } from './lib/quickstart/compare.mjs'
import { fetchObject } from './lib/quickstart/fetch-object.mjs'
import { storedBelow } from './lib/quickstart/stored.mjs'
import { runNode, runStep } from './lib/run.mjs'
import { Refusal, runMain, say } from './lib/say.mjs'
import { loadState, rememberRoots } from './lib/service-state.mjs'

const APPLICATIONS = ['worker-1', 'worker-2', 'maintenance', 'ops', 'gateway']
/** Objects up to this size are fetched whole to look for plaintext in them. */
const LOOK_INSIDE_UP_TO = 64 * 1024 * 1024

await runMain(async () => {
  const asked = process.argv.slice(2)
  if (asked.includes('--help'))
    return void console.log('npm run quickstart [-- PATH…]: files or folders of your own to seal')

  checkPath(home, 'this checkout', { services: true })
  // Before any installation or start: impossible requests are reported first.
  const given = asked.map((path) => resolve(path))
  const added = await missingRoots(given, { ...defaultRoots(home), ...loadState(home).roots })

  // The SDK's word about Node 22 is for developers of this project, who know (CI runs the floor, images the LTS).
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'

  title('Set-up and build')
  await runStep('set-up', 'setup.mjs', [])
  await runStep('build', 'build.mjs', [])

  title('Private services')
  const paths = asked.length > 0 ? given : await makeSamples(join(home, 'samples'))
  for (const [name, folder] of Object.entries(added)) say(`root ${name}: workers may read below ${folder}`)
  rememberRoots(home, added)
  const state = await startServices({ home, names: QUICKSTART_SERVICES })
  const env = await applicationEnvironment(home, state)
  await writeEnvironment(home, env)
  const inHere = { ...process.env, ...env }

  title('Tables, bucket, master keys')
  await runHere('migration', [join(checkout, 'packages/records/dist/migrate/main.js')], inHere)
  await runHere('making of the bucket', [join(checkout, 'tools/bucket.mjs')], inHere)
  await sealfleet('keys', ['keys', 'init', '--with-audit'], inHere)

  title('Workers, maintenance, dashboard and HTTP API')
  const { services } = await startServices({ home, names: APPLICATIONS })

  title(`Sealing ${asked.length > 0 ? paths.join(', ') : `${paths.length} sample files`}`)
  await sealfleet('sealing', ['enqueue', ...paths, '--wait'], inHere)

  const files = await storedBelow(env, paths)
  const last = files.at(-1)
  if (!last) throw new Refusal('Nothing was stored: `npx sealfleet list` says why.')
  title('Restoring one, and comparing it byte for byte')
  const shown = files.findLast((file) => file.size <= LOOK_INSIDE_UP_TO) ?? last
  await restoreAndCompare(shown, inHere)

  title('What the S3 server holds of it')
  if (shown.size <= LOOK_INSIDE_UP_TO) await showStored(shown, env)
  else console.log(`${shown.objectKey}: too large to show here`)

  title('The HTTP API')
  await showApi(`http://127.0.0.1:${services['gateway']?.port}`, shown, inHere)

  title('How to go on')
  console.log(`In any terminal in this folder:
  npm run quickstart -- PATH…             lets workers read those folders too, and seals them
  npx sealfleet enqueue PATH… --wait      seal more from the folders that were named
  npx sealfleet list                      what is stored
  npx sealfleet trace ${shown.id}
  npx sealfleet restore ${shown.id} -o copy
  npx sealfleet doctor                    is everything in reach, and right?
Dashboard: http://127.0.0.1:${services['ops']?.port}/
Logs:      ${join(home, 'logs')}
Stop:      npm run services -- stop       (data and keys stay; \`npm run services -- start\` goes on with them)`)
  return 0
})

/**
 * Makes a token, and says how to store and to read back by curl alone.
 *
 * @param {string} address
 * @param {import('./lib/quickstart/stored.mjs').Stored} file
 * @param {NodeJS.ProcessEnv} env
 */
async function showApi(address, file, env) {
  const made = join(home, 'quickstart-token')
  // A name is free once: each run has a token of its own, for a week.
  const name = `quickstart ${new Date().toISOString().replace(/[:.]/g, '-')}`
  const scopes = ['enqueue', 'read', 'verify'].flatMap((scope) => ['--scope', scope])
  const args = [join(checkout, 'apps/cli/bin/sealfleet.mjs'), 'tokens', 'create', name, ...scopes, '--expires', '7d']
  const { status, stdout } = spawnSync(process.execPath, args, {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (status !== 0) throw new Refusal(`Making a token failed (exit status ${status}); see above.`)
  await writeFile(made, `header = "Authorization: Bearer ${stdout.trim()}"\n`, { mode: 0o600 })
  const item = JSON.stringify({ root: file.root, path: file.source })
  console.log(`A token is in ${made}, for curl's -K:
  curl -K ${made} --json '${item.replaceAll("'", "'\\''")}' ${address}/v1/files
  curl -K ${made} -f -o copy ${address}/v1/files/${file.id}/content`)
}

/** @param {string} text */
function title(text) {
  say(`\n── ${text}`)
}

/**
 * @param {string} what for the message
 * @param {string[]} args
 * @param {NodeJS.ProcessEnv} env
 */
async function runHere(what, args, env) {
  const status = await runNode(args, { env })
  if (status !== 0) throw new Refusal(`The ${what} failed (exit status ${status}); see above.`)
}

/** @param {string} what @param {string[]} args @param {NodeJS.ProcessEnv} env */
async function sealfleet(what, args, env) {
  await runHere(what, [join(checkout, 'apps/cli/bin/sealfleet.mjs'), ...args], env)
}

/** @param {import('./lib/quickstart/stored.mjs').Stored} file @param {NodeJS.ProcessEnv} env */
async function restoreAndCompare(file, env) {
  const copy = join(home, 'restored', basename(file.path))
  await mkdir(join(home, 'restored'), { recursive: true, mode: 0o700 })
  await rm(copy, { force: true })
  await sealfleet('restoring', ['restore', file.id, '-o', copy], env)
  const { equal, bytes } = await compareFiles(file.path, copy)
  if (!equal) throw new Refusal(`${copy} differs from ${file.path} after ${bytes} bytes.`)
  console.log(`${copy}\n  is identical to ${file.path}: ${bytes} bytes`)
}

/** @param {import('./lib/quickstart/stored.mjs').Stored} file @param {Record<string, string>} env */
async function showStored(file, env) {
  const plaintext = await readFile(file.path)
  const stored = await fetchObject(env, file)
  const at = Math.min(4096, Math.max(0, Math.floor(plaintext.length / 2)))
  console.log(`plain, at byte ${at}:\n${hexDump(plaintext, at)}\nstored, its head:\n${hexDump(stored, 0)}`)
  console.log(`stored, at byte ${at + 512}:\n${hexDump(stored, at + 512)}`)
  const { looked, found } = findPlaintext(plaintext, stored)
  if (found > 0) throw new Refusal(`${found} of ${looked} pieces of the plaintext stand in the stored object.`)
  console.log(`${looked} pieces of the file were looked for in the ${stored.length} stored bytes: none is there.`)
}
