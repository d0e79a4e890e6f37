/**
 * Imported first by every script that people start: a Node that is too old gets one clear sentence instead of a later
 * syntax error. So this file acts when imported, and is written for very old Nodes.
 */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `Sealfleet needs Node 20.19 or newer; this is ${process.version} (${process.execPath}).\n` +
      'Newer ones: https://nodejs.org/en/download, or `nvm install --lts`.\n',
  )
  process.exit(1)
}
export {}
