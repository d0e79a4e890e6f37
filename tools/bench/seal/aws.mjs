/** The peer: @aws-crypto/client-node, frames of 1 MiB, a raw AES keyring, 64 MiB at a time. */
import { randomBytes } from 'node:crypto'
import {
  AlgorithmSuiteIdentifier,
  CommitmentPolicy,
  RawAesKeyringNode,
  RawAesWrappingSuiteIdentifier,
  buildClient,
} from '@aws-crypto/client-node'
import { answer, coreClock } from './answer.mjs'

const MIB = 2 ** 20
const PLAINTEXT = randomBytes(64 * MIB)

const { encrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
const keyring = new RawAesKeyringNode({
  keyName: 'benchmark',
  keyNamespace: 'sealfleet',
  unencryptedMasterKey: new Uint8Array(32).fill(7),
  wrappingSuite: RawAesWrappingSuiteIdentifier.AES256_GCM_IV12_TAG16_NO_PADDING,
})

/** @param {AlgorithmSuiteIdentifier} suiteId */
async function peer(suiteId) {
  const elapsed = coreClock()
  await encrypt(keyring, PLAINTEXT, { frameLength: MIB, suiteId, plaintextLength: PLAINTEXT.length })
  return PLAINTEXT.length / 2 ** 30 / elapsed()
}

answer({
  unsigned: () => peer(AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY),
  signed: () => peer(AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY_ECDSA_P384),
})
