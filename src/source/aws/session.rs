//! Who asks, from where, and on which runtime: credentials, region, endpoint.
//!
//! Options as the AWS CLI names them come in; a [`Session`] whose credentials were really found goes out, or one
//! readable line of what to do. The SDK's default chain is used as it is: environment, profile, SSO, web identity,
//! container, instance. No secret leaves this module but into the SDK.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use tokio::runtime::Runtime;

use super::AwsError;

/// Region of requests where neither option, environment nor profile names one.
const REGION_DEFAULT: &str = "us-east-1";
/// Longest time to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time to wait for the first byte of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Attempts of a request that the SDK itself repeats.
const ATTEMPTS_MAX: u32 = 6;
/// Threads of the runtime: requests wait most of the time, and the workers that read need the processors.
const RUNTIME_THREADS: usize = 2;

/// How to reach AWS; what is not given comes from the environment and the profile, as in the AWS CLI.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// `--profile`.
    pub profile: Option<String>,
    /// Region of the requests, and of STS.
    pub region: Option<String>,
    /// `--role-arn`: a role to assume with the credentials found.
    pub role_arn: Option<String>,
    /// `--external-id`: what the role's trust policy asks for.
    pub external_id: Option<String>,
    /// `--endpoint-url`: where all services are, instead of AWS.
    pub endpoint_url: Option<String>,
}

/// Credentials, region and the runtime of all requests. Cheap to clone; the runtime ends with the last clone.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Runtime,
    config: SdkConfig,
    region: Option<String>,
    profile: Option<String>,
    has_endpoint_url: bool,
    retries: Retries,
}

impl Session {
    /// Finds credentials, and assumes the role if one is given. Asks the network where the chain does.
    ///
    /// # Errors
    /// When there are no credentials, they are expired or refused, or the role cannot be assumed.
    pub fn load(options: &SessionOptions) -> Result<Self, AwsError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("aws")
            .enable_all()
            .build()
            .map_err(|source| AwsError::Runtime { source })?;
        let profile = options.profile.clone().or_else(|| std::env::var("AWS_PROFILE").ok());
        let config = runtime.block_on(async {
            let config = load_config(options).await;
            let region = config.region().map(ToString::to_string);
            let config = match &options.role_arn {
                None => config,
                Some(role) => assume(role, options, config).await,
            };
            // Asked for now: else the first of ten thousand requests would tell.
            let provider = config.credentials_provider();
            let credentials = match provider {
                Some(provider) => provider.provide_credentials().await.map(drop),
                None => Err(aws_credential_types::provider::error::CredentialsError::not_loaded_no_source()),
            };
            match credentials {
                Ok(()) => Ok((config, region)),
                Err(error) => {
                    Err(AwsError::of_credentials(&error, profile.as_deref(), options.role_arn.as_deref()))
                }
            }
        });
        let (config, region) = config?;
        let has_endpoint_url = config.endpoint_url().is_some()
            || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some_and(|url| !url.is_empty());
        let inner = Inner { runtime, config, region, profile, has_endpoint_url, retries: Retries::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The runtime on which requests run. Never block on it from one of its own threads.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.inner.runtime
    }

    /// The region that option, environment or profile names.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.inner.region.as_deref()
    }

    /// The profile that option or environment names.
    #[must_use]
    pub fn profile(&self) -> Option<&str> {
        self.inner.profile.as_deref()
    }

    /// Configuration of a client in `region`; in the session's own, or us-east-1, if `None`.
    #[must_use]
    pub fn config_for(&self, region: Option<&str>) -> SdkConfig {
        let region = region.or(self.region()).unwrap_or(REGION_DEFAULT).to_owned();
        self.inner.config.to_builder().region(Region::new(region)).build()
    }

    /// Whether another endpoint than AWS's own is asked.
    #[must_use]
    pub fn has_endpoint_url(&self) -> bool {
        self.inner.has_endpoint_url
    }

    /// Counts the requests of this session that were repeated.
    #[must_use]
    pub fn retries(&self) -> &Retries {
        &self.inner.retries
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Session").field("region", &self.inner.region).finish_non_exhaustive()
    }
}

/// Counts requests that were repeated: after a refusal for load, a broken or stalled body, a lost connection.
#[derive(Clone, Debug, Default)]
pub struct Retries {
    count: Arc<AtomicU64>,
}

impl Retries {
    /// One more request is repeated.
    pub fn note(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were repeated so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

async fn load_config(options: &SessionOptions) -> SdkConfig {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .app_name(AppName::new("keytrail").expect("a name of letters is valid"))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS_MAX))
        .timeout_config(timeouts);
    if let Some(profile) = &options.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &options.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(endpoint_url) = &options.endpoint_url {
        loader = loader.endpoint_url(endpoint_url);
    }
    let config = loader.load().await;
    let Some(profile) = &options.profile else { return config };
    // As in the AWS CLI: a profile that is named outweighs credentials in the environment.
    let region = config.region().cloned().unwrap_or(Region::from_static(REGION_DEFAULT));
    let provider = ProfileFileCredentialsProvider::builder()
        .profile_name(profile)
        .configure(&ProviderConfig::default().with_region(Some(region)))
        .build();
    config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
}

async fn assume(role: &str, options: &SessionOptions, config: SdkConfig) -> SdkConfig {
    let sts = match config.region() {
        Some(_) => config.clone(),
        None => config.to_builder().region(Region::from_static(REGION_DEFAULT)).build(),
    };
    let mut provider = AssumeRoleProvider::builder(role).session_name("keytrail").configure(&sts);
    if let Some(external_id) = &options.external_id {
        provider = provider.external_id(external_id);
    }
    let provider = SharedCredentialsProvider::new(provider.build().await);
    config.into_builder().credentials_provider(provider).build()
}
