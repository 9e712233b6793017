"""Five models with different kinds of train steps, in the style of keras.io's examples.

None of them knows a mode: the base class is `km.Model`, random numbers come from `km.random`.
`study_custom_steps.py` runs and compares them, and so does `tests/test_custom_steps.py`.
"""

import keras
import numpy as np
import tensorflow as tf

import kerasmodes as km


def make_dense_network(num_inputs, *units, activation="relu"):
    layers = [keras.layers.Dense(width, activation) for width in units[:-1]]
    return keras.Sequential([keras.Input((num_inputs,)), *layers, keras.layers.Dense(units[-1])])


class Sampling(keras.layers.Layer):
    """Draws from the normal distributions that an encoder describes."""

    def __init__(self, seed, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = km.random.SeedGenerator(seed)

    def call(self, inputs):
        mean, log_variance = inputs
        noise = km.random.normal(tf.shape(mean), seed=self.seed_generator)
        return mean + tf.exp(0.5 * log_variance) * noise


class VAE(km.Model):
    """A variational autoencoder of 8x8 images (Kingma and Welling 2013, equation 10)."""

    def __init__(self, latent_dim=2, **kwargs):
        super().__init__(**kwargs)
        images = keras.Input((8, 8, 1))
        features = keras.layers.Conv2D(4, 3, 2, "same", activation="relu")(images)
        features = keras.layers.Flatten()(features)
        mean = keras.layers.Dense(latent_dim)(features)
        log_variance = keras.layers.Dense(latent_dim)(features)
        latents = Sampling(seed=1)([mean, log_variance])
        self.encoder = keras.Model(images, [mean, log_variance, latents])
        self.decoder = keras.Sequential(
            [
                keras.Input((latent_dim,)),
                keras.layers.Dense(64, "relu"),
                keras.layers.Reshape((4, 4, 4)),
                keras.layers.Conv2DTranspose(1, 3, 2, "same", activation="sigmoid"),
            ]
        )
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_tracker = keras.metrics.Mean(name="kl_loss")

    @property
    def metrics(self):
        return [self.reconstruction_tracker, self.kl_tracker]

    def call(self, images):
        return self.decoder(self.encoder(images)[0])

    def train_step(self, images):
        with tf.GradientTape() as tape:
            mean, log_variance, latents = self.encoder(images, training=True)
            reconstructed = self.decoder(latents, training=True)
            crossentropy = keras.losses.binary_crossentropy(images, reconstructed)
            reconstruction_losses = tf.reduce_sum(crossentropy, axis=(1, 2))
            kl_losses = -0.5 * tf.reduce_sum(
                1 + log_variance - tf.square(mean) - tf.exp(log_variance), axis=1
            )
            loss = km.average_loss(reconstruction_losses + kl_losses)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.reconstruction_tracker.update_state(reconstruction_losses)
        self.kl_tracker.update_state(kl_losses)
        return {metric.name: metric.result() for metric in self.metrics}


class WGANGP(km.Model):
    """A GAN with several critic steps each train step (Gulrajani et al. 2017, algorithm 1)."""

    def __init__(self, latent_dim=4, critic_steps=3, penalty_weight=10.0, **kwargs):
        super().__init__(**kwargs)
        self.latent_dim, self.critic_steps = latent_dim, critic_steps
        self.penalty_weight = penalty_weight
        self.generator = make_dense_network(latent_dim, 16, 2)
        self.critic = make_dense_network(2, 16, 1, activation="tanh")
        self.seed_generator = km.random.SeedGenerator(2)

    def compile(self, critic_optimizer, generator_optimizer, **kwargs):
        super().compile(**kwargs)
        self.critic_optimizer = critic_optimizer
        self.generator_optimizer = generator_optimizer

    def gradient_penalty(self, real, fake):
        share = km.random.uniform((tf.shape(real)[0], 1), seed=self.seed_generator)
        between = real + share * (fake - real)
        with tf.GradientTape() as tape:
            tape.watch(between)
            scores = self.critic(between, training=True)
        norms = tf.sqrt(tf.reduce_sum(tf.square(tape.gradient(scores, between)), axis=1))
        return tf.square(norms - 1.0)

    def draw_latents(self, real):
        return km.random.normal((tf.shape(real)[0], self.latent_dim), seed=self.seed_generator)

    def train_step(self, real):
        for _ in range(self.critic_steps):
            latents = self.draw_latents(real)
            with tf.GradientTape() as tape:
                fake = self.generator(latents, training=True)
                difference = self.critic(fake, training=True) - self.critic(real, training=True)
                penalties = self.gradient_penalty(real, fake)
                critic_loss = km.average_loss(difference[:, 0] + self.penalty_weight * penalties)
            gradients = tape.gradient(critic_loss, self.critic.trainable_variables)
            self.critic_optimizer.apply(gradients, self.critic.trainable_variables)
        latents = self.draw_latents(real)
        with tf.GradientTape() as tape:
            scores = self.critic(self.generator(latents, training=True), training=True)
            generator_loss = -km.average_loss(scores)
        gradients = tape.gradient(generator_loss, self.generator.trainable_variables)
        self.generator_optimizer.apply(gradients, self.generator.trainable_variables)
        return {"critic_loss": critic_loss, "generator_loss": generator_loss}


class Distiller(km.Model):
    """A student that learns from labels and from a frozen teacher (Hinton et al. 2015)."""

    def __init__(self, student, teacher, **kwargs):
        super().__init__(**kwargs)
        self.student, self.teacher = student, teacher
        self.teacher.trainable = False

    def compile(self, optimizer, metrics, alpha=0.3, temperature=3.0, **kwargs):
        super().compile(optimizer=optimizer, metrics=metrics, **kwargs)
        self.alpha, self.temperature = alpha, temperature

    def call(self, x, training=False):
        return self.student(x, training=training)

    def train_step(self, data):
        x, y = data
        soft_labels = tf.nn.softmax(self.teacher(x, training=False) / self.temperature)
        with tf.GradientTape() as tape:
            logits = self(x, training=True)
            student_losses = keras.losses.sparse_categorical_crossentropy(
                y, logits, from_logits=True
            )
            distillation_losses = self.temperature**2 * keras.losses.kl_divergence(
                soft_labels, tf.nn.softmax(logits / self.temperature)
            )
            loss = km.average_loss(
                self.alpha * student_losses + (1 - self.alpha) * distillation_losses
            )
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        results = self.compute_metrics(x, y, logits)
        return results | {
            "loss": loss,
            "student_loss": tf.reduce_mean(student_losses),
            "distillation_loss": tf.reduce_mean(distillation_losses),
        }


class RunningNormalization(keras.layers.Layer):
    """Normalizes with the mean and variance of all its training inputs."""

    def build(self, input_shape):
        self.mean, self.variance, self.count = (
            self.add_weight(shape=shape, initializer=start, trainable=False)
            for shape, start in (
                (input_shape[1:], "zeros"),
                (input_shape[1:], "ones"),
                ((), "zeros"),
            )
        )

    def call(self, x, training=False):
        if training:
            mean, variance = tf.nn.moments(x, axes=0)
            self.count.assign_add(1.0)
            share = 1.0 / self.count
            self.mean.assign(self.mean + share * (mean - self.mean))
            self.variance.assign(self.variance + share * (variance - self.variance))
        return (x - self.mean) / tf.sqrt(self.variance + 1e-3)


class Diffusion(km.Model):
    """Denoising diffusion with an averaged copy of the network (Song et al. 2020, as in DDIM)."""

    def __init__(self, num_features=6, averaging=0.9, **kwargs):
        super().__init__(**kwargs)
        self.averaging = averaging
        self.normalizer = RunningNormalization()
        self.network = make_dense_network(num_features + 1, 16, num_features, activation="swish")
        self.averaged_network = keras.models.clone_model(self.network)
        self.averaged_network.set_weights(self.network.get_weights())
        self.seed_generator = km.random.SeedGenerator(3)
        self.noise_tracker = keras.metrics.Mean(name="noise_loss")
        self.signal_tracker = keras.metrics.Mean(name="signal_loss")

    @property
    def metrics(self):
        return [self.noise_tracker, self.signal_tracker]

    def denoise(self, noisy, noise_rates, signal_rates, training):
        network = self.network if training else self.averaged_network
        noises = network(tf.concat([noisy, noise_rates**2], axis=1), training=training)
        return noises, (noisy - noise_rates * noises) / signal_rates

    def compute_losses(self, x, training):
        x = self.normalizer(x, training=training)
        noises = km.random.normal(tf.shape(x), seed=self.seed_generator)
        angles = km.random.uniform((tf.shape(x)[0], 1), 0.05, 1.5, seed=self.seed_generator)
        noise_rates, signal_rates = tf.sin(angles), tf.cos(angles)
        noisy = signal_rates * x + noise_rates * noises
        predicted_noises, predicted_x = self.denoise(noisy, noise_rates, signal_rates, training)
        return tf.abs(predicted_noises - noises), tf.abs(predicted_x - x)

    def train_step(self, x):
        with tf.GradientTape() as tape:
            noise_losses, signal_losses = self.compute_losses(x, training=True)
            loss = km.average_loss(noise_losses)
        gradients = tape.gradient(loss, self.network.trainable_weights)
        self.optimizer.apply(gradients, self.network.trainable_weights)
        weights = zip(self.network.weights, self.averaged_network.weights, strict=True)
        for weight, averaged in weights:
            averaged.assign(self.averaging * averaged + (1 - self.averaging) * weight)
        self.noise_tracker.update_state(noise_losses)
        self.signal_tracker.update_state(signal_losses)
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, x):
        noise_losses, signal_losses = self.compute_losses(x, training=False)
        self.noise_tracker.update_state(noise_losses)
        self.signal_tracker.update_state(signal_losses)
        return {metric.name: metric.result() for metric in self.metrics}


class MomentumContrast(km.Model):
    """Contrastive learning with a momentum encoder and a queue (He et al. 2019, algorithm 1)."""

    def __init__(self, num_features=6, width=4, queue_size=20, momentum=0.9, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.encoder = make_dense_network(num_features, 16, width)
        self.momentum_encoder = keras.models.clone_model(self.encoder)
        self.momentum_encoder.set_weights(self.encoder.get_weights())
        self.queue = self.add_weight(
            shape=(queue_size, width),
            initializer=keras.initializers.RandomNormal(seed=4),
            trainable=False,
        )
        self.seed_generator = km.random.SeedGenerator(5)
        self.dropout = km.random.Dropout(0.2, seed=6)

    def compile(self, optimizer, temperature=0.5, **kwargs):
        super().compile(**kwargs)
        self.contrastive_optimizer = optimizer
        self.temperature = temperature
        self.loss_tracker = keras.metrics.Mean(name="contrastive_loss")
        self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="contrastive_accuracy")

    @property
    def metrics(self):
        return [self.loss_tracker, self.accuracy]

    def augment(self, x):
        noise = km.random.normal(tf.shape(x), stddev=0.1, seed=self.seed_generator)
        return self.dropout(x + noise, training=True)

    def train_step(self, x):
        keys = self.momentum_encoder(self.augment(x), training=True)
        keys = tf.math.l2_normalize(keys, axis=1)
        with tf.GradientTape() as tape:
            queries = tf.math.l2_normalize(self.encoder(self.augment(x), training=True), axis=1)
            positive = tf.reduce_sum(queries * keys, axis=1, keepdims=True)
            negative = tf.matmul(queries, self.queue, transpose_b=True)
            logits = tf.concat([positive, negative], axis=1) / self.temperature
            labels = tf.zeros(tf.shape(x)[0], tf.int32)
            losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            loss = km.average_loss(losses)
        gradients = tape.gradient(loss, self.encoder.trainable_weights)
        self.contrastive_optimizer.apply(gradients, self.encoder.trainable_weights)
        weights = zip(self.encoder.weights, self.momentum_encoder.weights, strict=True)
        for weight, slow in weights:
            slow.assign(self.momentum * slow + (1 - self.momentum) * weight)
        self.queue.assign(tf.concat([keys, self.queue[: -tf.shape(keys)[0]]], axis=0))
        self.loss_tracker.update_state(losses)
        self.accuracy.update_state(labels, logits)
        return {metric.name: metric.result() for metric in self.metrics}


def make_images(num_samples):
    """Returns 8x8 images of a bright bar."""
    values = np.full((num_samples, 8, 8, 1), 0.1, "float32")
    values[np.arange(num_samples), np.arange(num_samples) % 8] = 0.9
    return values


def make_points(num_samples, num_features):
    """Returns points in two clusters, and their clusters."""
    generator = np.random.default_rng(0)
    labels = np.arange(num_samples) % 2
    values = generator.normal(size=(num_samples, num_features)) + 2.0 * labels[:, np.newaxis]
    return values.astype("float32"), labels


def make_distiller():
    student, teacher = make_dense_network(6, 4, 2), make_dense_network(6, 32, 2)
    return Distiller(student, teacher)


def make_one_optimizer(make_optimizer):
    return {"optimizer": make_optimizer()}


def make_two_optimizers(make_optimizer):
    return {"critic_optimizer": make_optimizer(), "generator_optimizer": make_optimizer()}


def make_optimizer_and_metrics(make_optimizer):
    return {"optimizer": make_optimizer(), "metrics": ["accuracy"]}


# By name: functions that make the model, its `compile` arguments, and n samples of data.
RECIPES = {
    "VAE": (VAE, make_one_optimizer, lambda n: (make_images(n),)),
    "WGAN-GP": (WGANGP, make_two_optimizers, lambda n: (make_points(n, 2)[0],)),
    "distillation": (make_distiller, make_optimizer_and_metrics, lambda n: make_points(n, 6)),
    "diffusion": (Diffusion, make_one_optimizer, lambda n: (make_points(n, 6)[0],)),
    "contrastive": (MomentumContrast, make_one_optimizer, lambda n: (make_points(n, 6)[0],)),
}
