import { bodyOfSignedBytes, parseRequestBody, signedBytes, type RequestBody } from '@sealfleet/records/operators'
import { RecordsError } from '@sealfleet/records'
import type { Command } from 'commander'
import { sign } from 'node:crypto'
import path from 'node:path'
import { usageError, type CliError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { OutputFile } from '../../files/output-file.js'
import { write } from '../../io.js'
import { describeRequest, signedDigest } from '../operators/describe-request.js'
import { readSigningKey } from '../operators/private-key-file.js'
import { readSmallFile } from '../operators/small-file.js'
import { askYes, quietTerminal } from '../operators/terminal.js'
import { printable } from '../../output/printable.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

interface SignOptions extends CommonOptions {
  readonly key: string
  readonly output?: string
  readonly passphraseFile?: string
  readonly yes?: boolean
}

export function signVerb(requests: Command, runner: Runner): void {
  const command = requests
    .command('sign')
    .description('sign a request, after showing what it does; needs the private key, and neither network nor database')
    .argument('<file>', 'the bytes to sign, as `requests show ID --body FILE` wrote them')
    .requiredOption('--key <file>', 'your private key (PKCS#8 PEM)')
    .option('-o, --output <file>', 'where the signature goes; never overwritten (default: FILE.sig)')
    .option('--passphrase-file <file>', 'the key’s passphrase; asked for on the terminal when not given')
    .option('--yes', 'do not ask: I have read what is signed')
    .addHelpText('after', HELP)
  perform<SignOptions>(commonOptions(command, { changes: true }), runner, signAction)
}

const HELP = `
Read what is printed: those bytes, and nothing else, are what your signature allows. openssl alone does the same:
  tail -c +17 FILE                                                        what you sign, as JSON behind a label of 16 bytes
  openssl pkeyutl -sign -rawin -inkey KEY.pem -in FILE -out FILE.sig`

async function signAction(context: CommandContext, [given = '']: readonly string[], o: SignOptions): Promise<void> {
  const { io, print } = context
  using _quiet = o.passphraseFile === undefined ? quietTerminal(io) : undefined
  const file = path.resolve(io.cwd, given)
  const final = path.resolve(io.cwd, o.output ?? `${given}.sig`)
  const { body, request } = parse(file, await readSmallFile(file))
  const shown = describeRequest(request, body, io.stderr)
  // On stderr before the question, with --json too, so that a request is never signed unseen.
  await write(io.stderr, `You are about to sign:\n\n${shown}\n\n`)
  if (request.expiresAt.getTime() <= Date.now()) {
    await print.note('note: by the clock of this machine the request has expired; the server decides by its own')
  }
  const dryRun = o.dryRun === true
  if (!dryRun && o.yes !== true) await askYes(io, 'Sign this?')
  const passphraseFile = o.passphraseFile === undefined ? undefined : path.resolve(io.cwd, o.passphraseFile)
  const { key, publicKey } = await readSigningKey(io, path.resolve(io.cwd, o.key), passphraseFile)
  await using output = await OutputFile.create(final, {
    force: false,
    ifTaken: 'name another file; nothing is ever replaced here',
  })
  // Signs what was shown, not what the file holds by now.
  const signature = sign(null, signedBytes(body), key)
  if (!dryRun) {
    await output.write(signature)
    await output.commit()
  }
  const report = {
    request: request.id,
    sha256: signedDigest(body),
    publicKey,
    signature: dryRun ? null : final,
    dryRun,
  }
  await print.document(report)
  await print.text(dryRun ? `${printable(final)} would be made` : `signed: ${printable(final)}`)
  await print.note(`public key ${publicKey.toString('hex')}`)
  await print.note(
    `next, on the server: sealfleet requests approve ${request.id} --operator NAME --signature ${printable(final)}`,
  )
}

/** @throws CliError USAGE for bytes that are not a request */
function parse(file: string, bytes: Buffer): { readonly body: Buffer; readonly request: RequestBody } {
  try {
    const body = bodyOfSignedBytes(bytes)
    return { body, request: parseRequestBody(body) }
  } catch (error) {
    throw error instanceof RecordsError ? noRequest(file) : error
  }
}

function noRequest(file: string): CliError {
  return usageError(
    `${printable(file)} is not a request that this version knows, so it is not signed`,
    'sealfleet requests show ID --body FILE',
  )
}
