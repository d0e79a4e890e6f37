export { oneLine, printable, printableJson } from './printable.js'
export { cutMiddle, displayWidth, piecesOf } from './width.js'
