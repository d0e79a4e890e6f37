// Carries destructions out, and dies by SIGKILL at the step that DOOMED names. Run by destroy.test.ts against its services.
import { allTokens, HsmPool } from '@sealfleet/hsm'
import { carryOutDue } from '@sealfleet/keys'
import { openRecords } from '@sealfleet/records'
import { openStore } from '@sealfleet/store'

const { database, bucket, tokens, step: fatal } = JSON.parse(process.env.DOOMED ?? '{}')
const records = await openRecords(database)
const store = await openStore(bucket)
const pool = await HsmPool.open({ tokens, agents: 1, sessions: 2 })
/** @param {string} step */
const onStep = (step) => {
  if (step === fatal) process.kill(process.pid, 'SIGKILL')
}
await carryOutDue(
  { records, store, tokens: allTokens(tokens, pool) },
  { actor: 'doomed', codeOf: () => 'UNCLASSIFIED', onStep },
)
throw new Error('it lives')
