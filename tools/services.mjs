/**
 * Private services of this checkout: Redis, Postgres, a SoftHSM token and S3, on free ports, below .sealfleet/.
 *
 *   npm run services -- start|stop|status|env [--tests | --home DIR] [--only redis,postgres,…] [--json]
 */
import './lib/node-version.mjs'
import util from 'node:util'
import { resolve } from 'node:path'
import { checkPath } from './lib/check-path.mjs'
import { applicationEnvironment, formatEnvironment, testEnvironment, writeEnvironment } from './lib/environment.mjs'
import { quickstartHome, testHome } from './lib/places.mjs'
import {
  QUICKSTART_SERVICES,
  recordedApplications,
  startServices,
  statusOfServices,
  stopServices,
  TEST_SERVICES,
} from './lib/private-services.mjs'
import { Refusal, runMain, say } from './lib/say.mjs'
import { loadState } from './lib/service-state.mjs'

const USAGE = `npm run services -- VERB [--tests | --home DIR] [--only NAME,…] [--json]

  start    starts what does not run (workers, maintenance, ops and the gateway too, if they did before), and writes DIR/env
  stop     ends what was started here; data, ports and passwords stay
  status   says what runs where (exit status 1 when something is stopped)
  env      prints the environment that leads to the services

  --tests  the tests' services (.sealfleet/test) instead of the quickstart's (.sealfleet)
  --home   another directory
  --only   these services: redis, postgres, softhsm, s3rver, radosgw, worker-<N>, maintenance, ops, gateway
  --json   results as JSON`

await runMain(async () => {
  const { values, positionals } = parseArguments()
  if (values.help) return void console.log(USAGE)
  const [verb, ...rest] = positionals
  if (!verb || rest.length > 0) throw new Refusal(USAGE)
  const home = values.home ? resolve(values.home) : values.tests ? testHome : quickstartHome
  if (verb === 'start') checkPath(home, 'the services', { services: true })
  const names = values.only?.split(',').filter(Boolean)

  switch (verb) {
    case 'start': {
      const state = await startServices({ home, names: names ?? (values.tests ? TEST_SERVICES : QUICKSTART_SERVICES) })
      if (!values.tests) await writeEnvironment(home, await applicationEnvironment(home, state))
      const applications = names ? [] : recordedApplications(state)
      if (applications.length > 0) await startServices({ home, names: applications })
      return printStatus(await statusOfServices(home), values.json)
    }
    case 'stop':
      await stopServices({ home, names })
      if (values.json) console.log(JSON.stringify({ stopped: true }))
      return 0
    case 'status': {
      const all = await statusOfServices(home)
      return printStatus(names ? all.filter(({ name }) => names.includes(name)) : all, values.json)
    }
    case 'env': {
      const environment = values.tests ? testEnvironment : applicationEnvironment
      const env = await environment(home, loadState(home))
      process.stdout.write(values.json ? `${JSON.stringify(env, null, 2)}\n` : formatEnvironment(env))
      return 0
    }
    default:
      throw new Refusal(`unknown command \`${verb}\`\n\n${USAGE}`)
  }
})

function parseArguments() {
  try {
    return util.parseArgs({
      allowPositionals: true,
      options: {
        home: { type: 'string' },
        tests: { type: 'boolean', default: false },
        only: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
  } catch (error) {
    throw new Refusal(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`, { cause: error })
  }
}

/**
 * @param {import('./lib/private-services.mjs').ServiceStatus[]} services
 * @param {boolean} json
 */
function printStatus(services, json) {
  if (json) console.log(JSON.stringify(services, null, 2))
  else if (services.length === 0) say('No private services were started here yet.')
  for (const { name, state, pid, address, log } of json ? [] : services) {
    const parts = [name.padEnd(10), state.padEnd(8), (address ?? '').padEnd(24), pid ? `pid ${pid}` : '', log ?? '']
    console.log(parts.join('  ').trimEnd())
  }
  return services.some(({ state }) => state === 'stopped') ? 1 : 0
}
