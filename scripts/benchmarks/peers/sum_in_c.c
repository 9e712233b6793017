/* The sum regressor's training step in plain C: what the machine can do, without any framework.
 *
 * 20-20-10-1 with ReLU, batch size 1, squared error, Adam 1e-3 as in Keras. `sum_in_c.py` compiles
 * and calls it. */
#include <math.h>
#include <string.h>

enum { IN = 20, H1 = 20, H2 = 10, W1 = IN * H1, W2 = H1 * H2, N = W1 + H1 + W2 + H2 + H2 + 1 };

typedef struct {
  float weights[N], m[N], v[N]; /* kernels [in][out] and biases, layer after layer */
  double power1, power2;        /* beta1^t and beta2^t */
} State;

static void dense(const float *x, const float *w, float *y, int in, int out) {
  memcpy(y, w + in * out, out * sizeof *y);
  for (int i = 0; i < in; i++)
    for (int j = 0; j < out; j++) y[j] += x[i] * w[i * out + j];
}

static void dense_back(const float *x, const float *w, const float *dy, float *dw, float *dx,
                       int in, int out) {
  for (int i = 0; i < in; i++) {
    float sum = 0;
    for (int j = 0; j < out; j++) {
      dw[i * out + j] = x[i] * dy[j];
      sum += w[i * out + j] * dy[j];
    }
    if (dx) dx[i] = x[i] > 0 ? sum : 0; /* x is a ReLU's output */
  }
  memcpy(dw + in * out, dy, out * sizeof *dy);
}

static float step(State *s, const float *x, float y) {
  const float *w1 = s->weights, *w2 = w1 + W1 + H1, *w3 = w2 + W2 + H2;
  float a[H1], b[H2], out, da[H1], db[H2], g[N];
  dense(x, w1, a, IN, H1);
  for (int i = 0; i < H1; i++) a[i] = a[i] > 0 ? a[i] : 0;
  dense(a, w2, b, H1, H2);
  for (int i = 0; i < H2; i++) b[i] = b[i] > 0 ? b[i] : 0;
  dense(b, w3, &out, H2, 1);
  float error = out - y, dout = 2 * error;
  dense_back(b, w3, &dout, g + W1 + H1 + W2 + H2, db, H2, 1);
  dense_back(a, w2, db, g + W1 + H1, da, H1, H2);
  dense_back(x, w1, da, g, 0, IN, H1);
  s->power1 *= 0.9;
  s->power2 *= 0.999;
  float rate = 1e-3 * sqrt(1 - s->power2) / (1 - s->power1);
  for (int i = 0; i < N; i++) {
    s->m[i] += (g[i] - s->m[i]) * 0.1f;
    s->v[i] += (g[i] * g[i] - s->v[i]) * 0.001f;
    s->weights[i] -= rate * s->m[i] / (sqrtf(s->v[i]) + 1e-7f);
  }
  return error * error;
}

int state_size(void) { return sizeof(State); }

/* Starts from `weights` [N]. */
void start(State *s, const float *weights) {
  memset(s, 0, sizeof *s);
  memcpy(s->weights, weights, sizeof s->weights);
  s->power1 = s->power2 = 1;
}

int num_weights(void) { return N; }

/* Trains on the rows of x [.][20] and y [.] in the given order; returns the mean loss. */
double epoch(State *s, const float *x, const float *y, const long *order, long count) {
  double total = 0;
  for (long i = 0; i < count; i++) total += step(s, x + IN * order[i], y[order[i]]);
  return total / count;
}
