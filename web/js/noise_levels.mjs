/** How much noise there is over the sampling, for models that no run has told of yet. */

/**
 * Sigma over the percent of a Stable Diffusion model: the table of its betas, straight in log sigma.
 * @param {number} percent
 */
export function sigmaSD(percent) {
  if (percent <= 0) return Infinity
  if (percent >= 1) return 0
  logSigmas ??= tableSD()
  const at = (1 - percent) * 999
  const low = Math.floor(at)
  const part = at - low
  return Math.exp((1 - part) * logSigmas[low] + part * logSigmas[Math.ceil(at)])
}

/** @type {number[] | undefined} */
let logSigmas

function tableSD() {
  const [first, last] = [Math.sqrt(0.00085), Math.sqrt(0.012)]
  let kept = 1
  return Array.from({ length: 1000 }, (_, i) => {
    kept *= 1 - (first + ((last - first) * i) / 999) ** 2
    return Math.log((1 - kept) / kept) / 2
  })
}

/**
 * Noise-to-signal ratio over the percent of a flow model without shift, sigma / (1 - sigma) with sigma = 1 - percent.
 * @param {number} percent
 */
export function sigmaFlow(percent) {
  return percent <= 0 ? Infinity : (1 - percent) / percent
}
