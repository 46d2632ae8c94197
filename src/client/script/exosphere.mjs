// exosphere.js as a module.

import "./exosphere.js";

export const { connect, plug, version } = globalThis.exosphere;
export default globalThis.exosphere;
