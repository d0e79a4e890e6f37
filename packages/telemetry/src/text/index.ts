export { oneLine, printable, printableJson } from './printable.js'
export { said } from './said.js'
export { cutMiddle, displayWidth, piecesOf } from './width.js'
