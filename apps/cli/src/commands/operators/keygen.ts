import { rawPublicKey } from '@sealfleet/records/operators'
import type { Command } from 'commander'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import path from 'node:path'
import { usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { OutputFile } from '../../files/output-file.js'
import { readPassphrase, SHORTEST_PASSPHRASE } from './private-key-file.js'
import { quietTerminal } from './terminal.js'
import { printable } from '../../output/printable.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

interface KeygenOptions extends CommonOptions {
  readonly output: string
  readonly passphraseFile?: string
  /** commander's form of --no-passphrase */
  readonly passphrase: boolean
}

export function keygenVerb(operators: Command, runner: Runner): void {
  const keygen = operators
    .command('keygen')
    .description('create an operator’s key pair, without a database; the private key never leaves this machine')
    .requiredOption('-o, --output <file>', 'where the private key goes (PKCS#8 PEM, mode 0600); never overwritten')
    .option('--passphrase-file <file>', 'encrypt it under the passphrase in this file')
    .option('--no-passphrase', 'do not encrypt it: anyone with the file can sign')
    .addHelpText('after', HELP)
  perform<KeygenOptions>(commonOptions(keygen, { changes: true }), runner, keygenAction)
}

const HELP = `
Run it on a machine of the operator's own, not on the server. The public key is printed: that is what goes to the server, for
\`operators add NAME --public-key FILE\`. Without an option the passphrase is asked for, twice. openssl does the same:
  openssl genpkey -algorithm ed25519 -aes256 -out key.pem && openssl pkey -in key.pem -pubout`

async function keygenAction(context: CommandContext, _args: readonly string[], o: KeygenOptions): Promise<void> {
  if (!o.passphrase && o.passphraseFile !== undefined)
    throw usageError('--passphrase-file and --no-passphrase exclude each other')
  using _quiet = o.passphrase && o.passphraseFile === undefined ? quietTerminal(context.io) : undefined
  const final = path.resolve(context.io.cwd, o.output)
  // Checked before the passphrase is asked for: the name may be taken.
  await using file = await OutputFile.create(final, {
    force: false,
    ifTaken: 'name another file; nothing is ever replaced here',
  })
  const passphrase = o.passphrase ? await newPassphrase(context, o) : undefined
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const pem = Buffer.from(exported(privateKey, passphrase))
  passphrase?.fill(0)
  const dryRun = o.dryRun === true
  if (!dryRun) {
    await file.write(pem)
    await file.commit()
  }
  pem.fill(0)
  const raw = rawPublicKey(publicKey)
  const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const shown = dryRun ? {} : { publicKey: raw, publicKeyPem: publicPem }
  await context.print.document({ file: final, encrypted: o.passphrase, dryRun, ...shown })
  if (dryRun)
    return await context.print.text(
      `${printable(final)} would be made${o.passphrase ? ', encrypted' : ', NOT encrypted'}`,
    )
  await context.print.text(publicPem.trimEnd())
  await context.print.note(
    `the private key is in ${printable(final)}${o.passphrase ? '' : ', NOT encrypted'}; keep a copy where it is as safe`,
  )
  await context.print.note(
    `give the public key above to the server: sealfleet operators add NAME --public-key FILE (${raw.toString('hex')})`,
  )
}

function exported(key: KeyObject, passphrase: Buffer | undefined): string | Buffer {
  return passphrase === undefined
    ? key.export({ type: 'pkcs8', format: 'pem' })
    : key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase })
}

async function newPassphrase(context: CommandContext, o: KeygenOptions): Promise<Buffer> {
  const { io } = context
  const file = o.passphraseFile === undefined ? undefined : path.resolve(io.cwd, o.passphraseFile)
  const passphrase = await readPassphrase(io, file, 'passphrase for the new key: ')
  if (passphrase.length < SHORTEST_PASSPHRASE) {
    const fix = 'use several random words; anyone with the file can try passphrases without limit'
    throw usageError(`a passphrase has at least ${SHORTEST_PASSPHRASE} characters`, fix)
  }
  if (file !== undefined) return passphrase
  const again = await readPassphrase(io, undefined, 'once more: ')
  const same = again.equals(passphrase)
  again.fill(0)
  if (!same) throw usageError('the two passphrases differ')
  return passphrase
}
