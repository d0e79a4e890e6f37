export { cutMiddle, displayWidth, oneLine, printable, printableJson } from '@sealfleet/telemetry/text'
